"""One file of a project as an answer: whole, a stretch of it, or only that it is the same."""

from dataclasses import dataclass

from chassis.files.previews import preview_headers
from chassis.files.ranges import content_range, names_etag, stretch_of
from control_plane.domain.project_files import FileRow, etag_of
from control_plane.routes.contents import Content, begun
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.transfers import timed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Headers of a request for a file."""

    none_match: str | None
    if_range: str | None
    stretch: str | None


async def file_content(
    objects: ProjectObjects, row: FileRow, wanted: Wanted, *, inline: bool
) -> Content:
    etag = etag_of(str(row.sha256))
    headers = {**preview_headers(row.path.encode(), inline=inline), "etag": etag}
    headers["accept-ranges"] = "bytes"
    if wanted.none_match and names_etag(wanted.none_match, etag):
        return Content(status=304, headers=headers)
    stretch = None
    if wanted.stretch and wanted.if_range in {None, etag}:
        stretch = stretch_of(wanted.stretch, row.size)
    headers["content-length"] = str(stretch.length if stretch else row.size)
    if stretch is not None:
        headers["content-range"] = content_range(stretch, row.size)
    return Content(
        status=206 if stretch else 200,
        headers=headers,
        pieces=await begun(timed(objects.content(row, stretch))),
    )
