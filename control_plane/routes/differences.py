"""`/api/v1/sessions/{id}/snapshots/{id}/diff`: what one snapshot has and another has not."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from chassis.files.names import bytes_of, checked
from contracts.differences import NOTHING, DifferencePage, TextDifference
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import READ_SESSION
from control_plane.routes.wishes import Limit, window
from control_plane.services.access import Access
from control_plane.services.differences import Differences
from control_plane.services.forks import no_snapshot
from control_plane.services.sensitive import FileCaller
from snapshots.paths import PATH_BYTES

To = Annotated[
    UUID | None, QueryParameter(name="to", description="Another snapshot; left out: the head.")
]
PathCursor = Annotated[
    str | None,
    msgspec.Meta(max_length=2 * PATH_BYTES),
    QueryParameter(
        name="cursor", max_length=2 * PATH_BYTES, description="`next_cursor` of the page before"
    ),
]
Path = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=3 * PATH_BYTES),
    QueryParameter(name="path", min_length=1, max_length=3 * PATH_BYTES),
]

_BASE = "/api/v1/sessions/{session_id:uuid}/snapshots/{snapshot:str}/diff"


@get(_BASE, opt=READ_SESSION, tags=["snapshots"])
async def list_differences(
    *,
    session_id: FromPath[UUID],
    snapshot: FromPath[str],
    diffs: NamedDependency[Differences],
    to: To = None,
    limit: Limit = 100,
    cursor: PathCursor = None,
) -> DifferencePage:
    """From this snapshot, or from `nothing`, to another one."""
    return await diffs.names(session_id, _snapshot(snapshot), to, window(limit, cursor))


@get(f"{_BASE}/text", opt=READ_SESSION, tags=["snapshots"])
async def get_text_difference(
    *,
    session_id: FromPath[UUID],
    snapshot: FromPath[str],
    principal: NamedDependency[Principal],
    project_id_of_path: NamedDependency[UUID],
    access: NamedDependency[Access],
    diffs: NamedDependency[Differences],
    path: Path,
    escaped: FromQuery[bool] = False,
    to: To = None,
) -> TextDifference:
    """Of one path, as a patch that git takes. `escaped`: the path is percent-escaped bytes."""
    name = checked(bytes_of(path, escaped=escaped), most=PATH_BYTES)
    by = FileCaller(
        user_id=principal.user_id,
        project_id=project_id_of_path,
        opens_sensitive=access.may(principal, Action.OPEN_SENSITIVE, project_id_of_path),
    )
    return await diffs.text(session_id, _snapshot(snapshot), to, name, by=by)


def _snapshot(text: str) -> UUID | None:
    if text == NOTHING:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise no_snapshot(text) from error


DIFFERENCE_ROUTES = [list_differences, get_text_difference]
