"""A session's conversation: in pages for people, as text for agents that have lost their memory."""

from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.transcripts import TRANSCRIPT, AskTranscript, Transcript
from control_plane.domain.access import WorkerCaller
from control_plane.routes.events import PAGE
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import READ_SESSION, WORKER
from control_plane.routes.streams import LogCursor
from control_plane.routes.wishes import Limit
from control_plane.services.transcripts import Transcripts


@post(litestar_path(TRANSCRIPT), opt=WORKER, status_code=200)
async def tell_transcript(
    data: JSONBody[AskTranscript],
    worker: NamedDependency[WorkerCaller],
    transcripts: NamedDependency[Transcripts],
) -> Transcript:
    return await transcripts.tell(worker, data)


@get(
    "/api/v1/sessions/{session_id:uuid}/transcript",
    opt=READ_SESSION,
    tags=["events"],
    responses=PAGE,
)
async def list_transcript(
    *,
    session_id: FromPath[UUID],
    transcripts: NamedDependency[Transcripts],
    cursor: LogCursor = None,
    limit: Limit = 100,
) -> Response[bytes]:
    """What its next run knows of: with what a fork took over, without what a rollback left."""
    found = await transcripts.page(session_id, cursor=cursor, limit=limit)
    return Response(msgspec.json.encode(found), media_type="application/json")


TRANSCRIPT_ROUTES = [tell_transcript, list_transcript]
