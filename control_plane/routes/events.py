"""`…/events`: the log by pages, oldest first."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter

from contracts.errors import Code
from contracts.events import LogEntry
from contracts.log import LogPage
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import READ, READ_RUN, READ_SESSION
from control_plane.routes.streams import LogCursor
from control_plane.routes.wishes import Limit
from control_plane.services.access import Access
from control_plane.services.events import Events, LogWindow

Kinds = Annotated[
    list[str] | None,
    QueryParameter(name="kind", description="Only this kind; may be given several times."),
]
IncludePayload = Annotated[
    bool, QueryParameter(description="False: of each event no more than its kind.")
]

PAGE = {200: ResponseSpec(data_container=LogPage, description="Oldest first")}
ENTRY = {200: ResponseSpec(data_container=LogEntry, description="One event")}


@get("/api/v1/runs/{run_id:uuid}/events", opt=READ_RUN, tags=["events"], responses=PAGE)
async def list_run_events(
    *,
    run_id: FromPath[UUID],
    events: NamedDependency[Events],
    cursor: LogCursor = None,
    kinds: Kinds = None,
    limit: Limit = 100,
    include_payload: IncludePayload = True,
) -> Response[bytes]:
    window = LogWindow(cursor=cursor, limit=limit, kinds=kinds or (), payloads=include_payload)
    return _json(await events.of_run(run_id, window))


@get("/api/v1/runs/{run_id:uuid}/events/{seq:int}", opt=READ_RUN, tags=["events"], responses=ENTRY)
async def get_run_event(
    run_id: FromPath[UUID], seq: FromPath[int], events: NamedDependency[Events]
) -> Response[bytes]:
    return _json(await events.one_of_run(run_id, seq))


@get("/api/v1/runs/{run_id:uuid}/todos/events", opt=READ_RUN, tags=["events"], responses=PAGE)
async def list_todo_events(
    *,
    run_id: FromPath[UUID],
    events: NamedDependency[Events],
    cursor: LogCursor = None,
    limit: Limit = 100,
) -> Response[bytes]:
    """How the plan came to be what `todos` shows."""
    window = LogWindow(cursor=cursor, limit=limit, kinds=["todo.update"])
    return _json(await events.of_run(run_id, window))


@get("/api/v1/sessions/{session_id:uuid}/events", opt=READ_SESSION, tags=["events"], responses=PAGE)
async def list_session_events(
    *,
    session_id: FromPath[UUID],
    events: NamedDependency[Events],
    cursor: LogCursor = None,
    kinds: Kinds = None,
    limit: Limit = 100,
    include_payload: IncludePayload = True,
) -> Response[bytes]:
    window = LogWindow(cursor=cursor, limit=limit, kinds=kinds or (), payloads=include_payload)
    return _json(await events.of_stream(session_id, window))


@get("/api/v1/events", opt=READ, tags=["events"], responses=PAGE)
async def list_project_events(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    events: NamedDependency[Events],
    project_id: FromQuery[UUID | None] = None,
    cursor: LogCursor = None,
    kinds: Kinds = None,
    limit: Limit = 100,
    include_payload: IncludePayload = True,
) -> Response[bytes]:
    project = access.project_for(principal, Action.READ, project_id)
    window = LogWindow(cursor=cursor, limit=limit, kinds=kinds or (), payloads=include_payload)
    return _json(await events.of_stream(project, window, unknown=Code.PROJECT_NOT_FOUND))


def _json(value: object) -> Response[bytes]:
    """Encoded here: the events within are JSON already."""
    return Response(msgspec.json.encode(value), media_type="application/json")


EVENT_ROUTES = [
    list_run_events,
    get_run_event,
    list_todo_events,
    list_session_events,
    list_project_events,
]
