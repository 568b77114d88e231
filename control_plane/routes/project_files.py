"""`/api/v1/projects/{id}/files/…`: a project's own files, told as a workspace's are.

Who may do what is decided path by path, by the project's rules; every access is audited. Content
goes out as raw ASGI, so that each piece waits until the one before it was taken.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from chassis.errors import BerthError
from chassis.files.previews import preview_headers
from contracts.errors import Code
from contracts.workspace_files import (
    DeletedPath,
    MakeDirectory,
    RenamePath,
    UploadedFiles,
    WorkspaceEntry,
    WorkspaceMatches,
    WorkspaceTree,
    WrittenFile,
)
from control_plane.domain.access import Principal
from control_plane.domain.project_files import Visitor
from control_plane.routes.contents import Content, begun
from control_plane.routes.passing import CallerLeft, RequestBody
from control_plane.routes.policies import READ_PROJECT
from control_plane.routes.project_file_content import Wanted, file_content
from control_plane.routes.wishes import Limit, window
from control_plane.routes.workspace_files import Cursor, Depth
from control_plane.services.project_file_search import ProjectFileSearch, Sought
from control_plane.services.project_file_views import ProjectFileViews
from control_plane.services.project_files import ProjectFiles, Writing
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.project_uploads import ProjectUploads
from control_plane.services.sent_files import of_form, of_tar

PATH = "/api/v1/projects/{project_id:uuid}/files"
TAR, FORM, ZIP = "application/x-tar", "multipart/form-data", "application/zip"
BYTES = "application/octet-stream"
TAKES_BYTES = {**READ_PROJECT, "takes_bytes": (BYTES,)}
TAKES_FILES = {**READ_PROJECT, "takes_bytes": (FORM, TAR, BYTES)}
BODY_SECONDS = 60.0
"""For one part of a body to come."""

AskedPath = Annotated[
    str,
    msgspec.Meta(examples=["docs/guide.md"]),
    QueryParameter(name="path", description="Relative, `/` between its parts"),
]
IfMatch = Annotated[
    str | None, HeaderParameter(name="If-Match", description="Only if it is still this ETag")
]
IfNoneMatch = Annotated[
    str | None, HeaderParameter(name="If-None-Match", description="`*`: only if there is none")
]
KnownAlready = Annotated[
    str | None, HeaderParameter(name="If-None-Match", description="304 if it is still this ETag")
]
IfRange = Annotated[str | None, HeaderParameter(name="If-Range")]
Range = Annotated[str | None, HeaderParameter(name="Range", description="`bytes=START-END`, one")]


@get(f"{PATH}/tree", opt=READ_PROJECT, tags=["project-files"])
async def get_project_tree(
    *,
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_file_views: NamedDependency[ProjectFileViews],
    path: AskedPath = "",
    depth: Depth = 1,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> WorkspaceTree:
    """What is in a directory, `depth` levels of it, each directory before what is in it. What the
    caller may not read is left out.
    """
    visitor = _visitor(project_id, principal)
    return await project_file_views.tree(visitor, path, window(limit, cursor), depth=depth)


@get(f"{PATH}/search", opt=READ_PROJECT, tags=["project-files"])
async def search_project_files(
    *,
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_file_search: NamedDependency[ProjectFileSearch],
    name: FromQuery[str] = "",
    text: FromQuery[str] = "",
    ignore_case: FromQuery[bool] = False,
    path: AskedPath = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> WorkspaceMatches:
    """Files and directories whose names hold `name`, upper and lower case alike; with `text` the
    files that hold it too, one line of it as it stands. Binaries are passed over.

    A page ends after 8 s, and `next_cursor` goes on. Files whose names are withheld from the caller
    are not searched, and told.
    """
    visitor, sought = (
        _visitor(project_id, principal),
        Sought(name=name, text=text, fold=ignore_case),
    )
    return await project_file_search.search(visitor, path, sought, window(limit, cursor))


@get(f"{PATH}/file", opt=READ_PROJECT, tags=["project-files"])
async def get_project_file(
    *,
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
    project_objects: NamedDependency[ProjectObjects],
    path: AskedPath,
    inline: FromQuery[bool] = False,
    if_none_match: KnownAlready = None,
    if_range: IfRange = None,
    asked_range: Range = None,
) -> Content:
    """An attachment, unless `inline=1` asks for a preview and its name says that one is safe."""
    visitor, wanted = _visitor(project_id, principal), Wanted(if_none_match, if_range, asked_range)
    row = await project_files.opened(visitor, path)
    return await file_content(project_objects, row, wanted, inline=inline)


@get(f"{PATH}/download", opt=READ_PROJECT, tags=["project-files"])
async def download_project_files(
    *,
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_file_views: NamedDependency[ProjectFileViews],
    project_files: NamedDependency[ProjectFiles],
    project_objects: NamedDependency[ProjectObjects],
    path: AskedPath = "",
    inline: FromQuery[bool] = False,
    if_none_match: KnownAlready = None,
    if_range: IfRange = None,
    asked_range: Range = None,
) -> Content:
    """One file as `file` has it, or a directory as a zip archive, made while it is sent."""
    visitor, wanted = _visitor(project_id, principal), Wanted(if_none_match, if_range, asked_range)
    if not await project_file_views.is_directory(visitor, path):
        row = await project_files.opened(visitor, path)
        return await file_content(project_objects, row, wanted, inline=inline)
    pieces = await project_file_views.archive(visitor, path)
    name = (path.rpartition("/")[2] or "files") + ".zip"
    headers = {**preview_headers(name.encode(), inline=False), "content-type": ZIP}
    return Content(headers=headers, pieces=await begun(pieces))


@put(f"{PATH}/file", opt=TAKES_BYTES, status_code=200, tags=["project-files"])
async def put_project_file(
    *,
    request: Request[Any, Any, Any],
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
    path: AskedPath,
    executable: FromQuery[bool] = False,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response[WrittenFile]:
    """The body is its content. Directories above it are made. 201 for one that was not there."""
    asked = Writing(
        path=path, if_match=if_match, if_none_match=if_none_match, executable=executable
    )
    written = await _written(request, project_files, _visitor(project_id, principal), asked)
    return Response(written, status_code=201 if written.created else 200)


@post(f"{PATH}/upload", opt=TAKES_FILES, status_code=201, tags=["project-files"])
async def upload_project_files(
    *,
    request: Request[Any, Any, Any],
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
    project_uploads: NamedDependency[ProjectUploads],
    path: AskedPath = "",
    executable: FromQuery[bool] = False,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> UploadedFiles:
    """The files of a form, or of a tar archive, into the directory `path`: all of them, or none.
    Files that are there are replaced. Any other body is the content of the file at `path`.
    """
    visitor, content_type = _visitor(project_id, principal), request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {TAR, FORM}:
        if not path:
            detail = f"an upload is {FORM}, {TAR}, or any other with the path of its file"
            raise BerthError(Code.UNSUPPORTED_MEDIA, detail, field="path")
        asked = Writing(
            path=path, if_match=if_match, if_none_match=if_none_match, executable=executable
        )
        entry = (await _written(request, project_files, visitor, asked)).entry
        return UploadedFiles(items=[entry], files=1, bytes=entry.size)
    async with _body(request) as parts:
        sent = of_tar(path, parts) if kind == TAR else of_form(path, content_type, parts)
        async with aclosing(sent):
            return await project_uploads.take(visitor, sent)


@post(f"{PATH}/rename", opt=READ_PROJECT, status_code=200, tags=["project-files"])
async def rename_project_file(
    *,
    project_id: FromPath[UUID],
    data: JSONBody[RenamePath],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
) -> WorkspaceEntry:
    """A file, or a directory with all that is in it."""
    return await project_files.rename(_visitor(project_id, principal), data)


@post(f"{PATH}/mkdir", opt=READ_PROJECT, status_code=201, tags=["project-files"])
async def make_project_directory(
    *,
    project_id: FromPath[UUID],
    data: JSONBody[MakeDirectory],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
) -> WorkspaceEntry:
    """Those above it are made too; 409 where it is there, but with `parents`."""
    return await project_files.mkdir(_visitor(project_id, principal), data)


@delete(f"{PATH}/file", opt=READ_PROJECT, status_code=200, tags=["project-files"])
async def delete_project_file(
    *,
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
    path: AskedPath,
    if_match: IfMatch = None,
) -> DeletedPath:
    """A file, or a directory with all that is in it."""
    return await project_files.delete(_visitor(project_id, principal), path, if_match)


def _visitor(project_id: UUID, principal: Principal) -> Visitor:
    """The guard has seen that there is a role."""
    return Visitor(
        project_id=project_id, user_id=principal.user_id, role=principal.roles[project_id]
    )


async def _written(
    request: Request[Any, Any, Any], files: ProjectFiles, visitor: Visitor, asked: Writing
) -> WrittenFile:
    async with _body(request) as parts:
        return await files.write(visitor, asked, parts)


@asynccontextmanager
async def _body(request: Request[Any, Any, Any]) -> AsyncGenerator[AsyncGenerator[bytes]]:
    body = RequestBody(request.receive, silence=BODY_SECONDS)
    try:
        async with aclosing(body.parts()) as parts:
            yield parts
    except CallerLeft:
        detail = "the body stopped before its end"
        raise BerthError(Code.VALIDATION, detail, field="body") from None


PROJECT_FILE_ROUTES = [
    get_project_tree,
    search_project_files,
    get_project_file,
    download_project_files,
    put_project_file,
    upload_project_files,
    rename_project_file,
    make_project_directory,
    delete_project_file,
]
