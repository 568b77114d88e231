"""`…/stream`: Server-Sent Events of a run, a session, a project."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream

from chassis.errors import BerthError
from contracts.errors import Code
from control_plane.domain.access import Action, Noun, Principal
from control_plane.routes.policies import READ, READ_RUN, READ_SESSION
from control_plane.services.access import Access
from control_plane.services.streams import StillAllowed, Streams

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

LogCursor = Annotated[
    str | None,
    msgspec.Meta(max_length=200),
    QueryParameter(
        name="cursor", max_length=200, description="The `id` of the last event that was seen."
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", description="As `cursor`, and it wins."),
]
ReplayLast = Annotated[
    int | None,
    msgspec.Meta(ge=1, le=1000),
    QueryParameter(
        ge=1,
        le=1000,
        description="Begins so many events back; passed over where a cursor is given.",
    ),
]


def sse_response(chunks: AsyncIterator[bytes]) -> Stream:
    """The answer that sends what `Streams.open` or `open_run` gave."""
    return Stream(chunks, media_type="text/event-stream", headers=HEADERS, status_code=200)


@get("/api/v1/runs/{run_id:uuid}/stream", opt=READ_RUN, tags=["events"])
async def stream_run(
    *,
    run_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    streams: NamedDependency[Streams],
    cursor: LogCursor = None,
    last_event_id: LastEventId = None,
    replay_last: ReplayLast = None,
) -> Stream:
    """From the run's first event, or behind a cursor, to `run.closed`."""
    chunks = await streams.open_run(
        run_id,
        cursor=last_event_id or cursor,
        replay_last=replay_last,
        still_allowed=still_allowed(access, principal, "run", run_id),
    )
    return sse_response(chunks)


@get("/api/v1/sessions/{session_id:uuid}/stream", opt=READ_SESSION, tags=["events"])
async def stream_session(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    streams: NamedDependency[Streams],
    cursor: LogCursor = None,
    last_event_id: LastEventId = None,
    replay_last: ReplayLast = None,
) -> Stream:
    """From now on, or behind a cursor, without an end of its own."""
    chunks = await streams.open(
        session_id,
        cursor=last_event_id or cursor,
        replay_last=replay_last,
        still_allowed=still_allowed(access, principal, "session", session_id),
    )
    return sse_response(chunks)


@get("/api/v1/events/stream", opt=READ, tags=["events"])
async def stream_project(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    streams: NamedDependency[Streams],
    project_id: FromQuery[UUID | None] = None,
    cursor: LogCursor = None,
    last_event_id: LastEventId = None,
    replay_last: ReplayLast = None,
) -> Stream:
    """What happens in a project: its tasks, its runs' states, what waits for a person."""
    project = access.project_for(principal, Action.READ, project_id)
    chunks = await streams.open(
        project,
        cursor=last_event_id or cursor,
        replay_last=replay_last,
        still_allowed=still_allowed(access, principal, "project", project),
        unknown=Code.PROJECT_NOT_FOUND,
    )
    return sse_response(chunks)


def still_allowed(access: Access, principal: Principal, noun: Noun, noun_id: UUID) -> StillAllowed:
    """Asks anew, with the roles of that moment."""

    async def ask() -> bool:
        try:
            now = await access.renewed(principal)
            await access.project_of(now, Action.READ, noun, noun_id)
        except BerthError:
            return False
        return True

    return ask


STREAM_ROUTES = [stream_run, stream_session, stream_project]
