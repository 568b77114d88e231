"""What an executor asks for an agent whose own memory of its session is missing."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from contracts.transcripts import TRANSCRIPT, AskTranscript, Transcript
from control_plane.domain.access import WorkerCaller
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import WORKER
from control_plane.services.transcripts import Transcripts


@post(litestar_path(TRANSCRIPT), opt=WORKER, status_code=200)
async def tell_transcript(
    data: JSONBody[AskTranscript],
    worker: NamedDependency[WorkerCaller],
    transcripts: NamedDependency[Transcripts],
) -> Transcript:
    return await transcripts.tell(worker, data)


TRANSCRIPT_ROUTES = [tell_transcript]
