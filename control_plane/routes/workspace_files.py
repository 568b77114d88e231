"""`/api/v1/session-workers/{id}/workspace/…` where no worker runs: from the last snapshot.

With a running worker the gateway answers these paths itself, from the worker, and in the same form.
"""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter

from chassis.files.previews import preview_headers
from chassis.files.ranges import content_range
from contracts.workspace_files import (
    MOST_DEPTH,
    PATH_BYTES,
    SNAPSHOT,
    SNAPSHOT_HEADER,
    SOURCE_HEADER,
    WorkspaceMatches,
    WorkspaceTree,
)
from control_plane.domain.access import Action, Principal
from control_plane.routes.contents import Content, begun
from control_plane.routes.policies import READ_SESSION
from control_plane.routes.wishes import Limit
from control_plane.services.access import Access
from control_plane.services.sensitive import FileCaller
from control_plane.services.workspace_files import (
    AskedFiles,
    SnapshotArchive,
    SnapshotFile,
    WorkspaceFiles,
)

PLACE = "/api/v1/session-workers/{session_id:uuid}/workspace"
LONGEST = 3 * PATH_BYTES
LATEST = 253402300800.0
"""The first second of the year 10000, which no date in a header has."""
ZIP = "application/zip"

Path = Annotated[
    str,
    msgspec.Meta(max_length=LONGEST),
    QueryParameter(
        max_length=LONGEST, description="Relative to the workspace; no link is followed"
    ),
]
Depth = Annotated[
    int,
    msgspec.Meta(ge=1, le=MOST_DEPTH),
    QueryParameter(ge=1, le=MOST_DEPTH, description="Levels of directories"),
]
Cursor = Annotated[
    str | None,
    msgspec.Meta(max_length=2 * PATH_BYTES),
    QueryParameter(max_length=2 * PATH_BYTES, description="`next_cursor` of the page before"),
]
Range = Annotated[str | None, HeaderParameter(name="Range", description="`bytes=START-END`, one")]
NoneMatch = Annotated[
    str | None, HeaderParameter(name="If-None-Match", description="304 if it is still this ETag")
]


@get(f"{PLACE}/tree", opt=READ_SESSION, tags=["session-workers"])
async def get_workspace_tree(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    project_id_of_path: NamedDependency[UUID],
    workspace_files: NamedDependency[WorkspaceFiles],
    path: Path = "",
    escaped: FromQuery[bool] = False,
    depth: Depth = 1,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response[WorkspaceTree]:
    """What is in a directory, `depth` levels of it, each directory before what is in it.

    A name that is no UTF-8 is told percent-escaped, with `escaped: true`, and given back so with
    `escaped=1`. `Berth-Workspace` says `live`, or `snapshot` where no worker runs.
    """
    by = _caller(principal, access, project_id_of_path)
    asked = AskedFiles(session_id=session_id, by=by, path=path, escaped=escaped)
    head, found = await workspace_files.tree(asked, depth=depth, limit=limit, cursor=cursor)
    return Response(found, headers=_source(head))


@get(f"{PLACE}/search", opt=READ_SESSION, tags=["session-workers"])
async def search_workspace(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    project_id_of_path: NamedDependency[UUID],
    workspace_files: NamedDependency[WorkspaceFiles],
    path: Path = "",
    escaped: FromQuery[bool] = False,
    name: FromQuery[str] = "",
    text: FromQuery[str] = "",
    ignore_case: FromQuery[bool] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response[WorkspaceMatches]:
    """Files by `name`, a pattern such as `*.py` or `src/*.py`, and by `text` in them, one line of
    it as it stands. `text` needs a running worker: 409 without one.

    Files whose names are withheld from the caller are not searched, and told.
    """
    by = _caller(principal, access, project_id_of_path)
    asked = AskedFiles(session_id=session_id, by=by, path=path, escaped=escaped)
    head, found = await workspace_files.search(
        asked, name=name, text=text, ignore_case=ignore_case, limit=limit, cursor=cursor
    )
    return Response(found, headers=_source(head))


@get(f"{PLACE}/file", opt=READ_SESSION, tags=["session-workers"])
async def get_workspace_file(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    project_id_of_path: NamedDependency[UUID],
    workspace_files: NamedDependency[WorkspaceFiles],
    path: Path,
    escaped: FromQuery[bool] = False,
    inline: FromQuery[bool] = False,
    asked_range: Range = None,
    if_none_match: NoneMatch = None,
) -> Content:
    """One file. An attachment, unless `inline=1` asks for a preview and its name says that one is
    safe.
    """
    by = _caller(principal, access, project_id_of_path)
    asked = AskedFiles(session_id=session_id, by=by, path=path, escaped=escaped)
    found = await workspace_files.file(
        asked, wanted=asked_range or "", none_match=if_none_match or ""
    )
    return await _file(found, inline=inline)


@get(f"{PLACE}/download", opt=READ_SESSION, tags=["session-workers"])
async def download_workspace(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    project_id_of_path: NamedDependency[UUID],
    workspace_files: NamedDependency[WorkspaceFiles],
    path: Path = "",
    escaped: FromQuery[bool] = False,
    inline: FromQuery[bool] = False,
    asked_range: Range = None,
    if_none_match: NoneMatch = None,
) -> Content:
    """One file as `file` has it, or a directory as a zip archive, made while it is sent. Links are
    links in it, or left out where they lead out; `LEFT-OUT.txt` lists what is not there.
    """
    by = _caller(principal, access, project_id_of_path)
    asked = AskedFiles(session_id=session_id, by=by, path=path, escaped=escaped)
    found = await workspace_files.download(
        asked, wanted=asked_range or "", none_match=if_none_match or ""
    )
    if isinstance(found, SnapshotArchive):
        return await _archive(found)
    return await _file(found, inline=inline)


def _caller(principal: Principal, access: Access, project_id: UUID) -> FileCaller:
    opens = access.may(principal, Action.OPEN_SENSITIVE, project_id)
    return FileCaller(user_id=principal.user_id, project_id=project_id, opens_sensitive=opens)


def _source(snapshot_id: UUID) -> Mapping[str, str]:
    return {SOURCE_HEADER: SNAPSHOT, SNAPSHOT_HEADER: str(snapshot_id)}


async def _file(found: SnapshotFile, *, inline: bool) -> Content:
    headers = {
        **preview_headers(found.path, inline=inline),
        **_source(found.snapshot_id),
        "accept-ranges": "bytes",
        "etag": found.etag,
    }
    if 0 <= found.mtime < LATEST:
        headers["last-modified"] = formatdate(found.mtime, usegmt=True)
    if found.known:
        return Content(status=304, headers=headers)
    length = found.stretch.length if found.stretch else found.size
    headers["content-length"] = str(length)
    if found.stretch is not None:
        headers["content-range"] = content_range(found.stretch, found.size)
    return Content(
        status=206 if found.stretch else 200, headers=headers, pieces=await begun(found.content)
    )


async def _archive(found: SnapshotArchive) -> Content:
    name = (found.path.rpartition(b"/")[2] or b"workspace") + b".zip"
    headers = {**preview_headers(name, inline=False), **_source(found.snapshot_id)}
    return Content(headers={**headers, "content-type": ZIP}, pieces=await begun(found.content))


WORKSPACE_FILE_ROUTES = [
    get_workspace_tree,
    search_workspace,
    get_workspace_file,
    download_workspace,
]
