"""`…/sessions/{id}/workspace/{import,export}`: a whole tree as a tar, in and out, as streams."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from chassis.errors import BerthError
from contracts.differences import NOTHING
from contracts.errors import Code
from contracts.trees import (
    BYTES_HEADER,
    FILES_HEADER,
    MEDIA_TYPE,
    SNAPSHOT_HEADER,
    WITHHELD_HEADER,
    ImportedTree,
    Side,
)
from control_plane.domain.access import Action, Principal
from control_plane.routes.contents import Content, begun
from control_plane.routes.passing import CallerLeft, RequestBody
from control_plane.routes.policies import READ_SESSION, WRITE_SESSION
from control_plane.routes.wishes import IdempotencyKey, ask_of, replayed_headers
from control_plane.services.access import Access
from control_plane.services.sensitive import FileCaller
from control_plane.services.tree_exports import AskedTree, TreeExports
from control_plane.services.tree_imports import TreeImports

PLACE = "/api/v1/sessions/{session_id:uuid}/workspace"
BODY_SECONDS = 60.0
"""For one part of a body to come."""
DRAIN_SECONDS = 30.0

SnapshotId = Annotated[
    UUID | None, QueryParameter(name="snapshot_id", description="Left out: the head.")
]
Since = Annotated[
    str | None,
    QueryParameter(
        name="since",
        max_length=36,
        description="Only what differs from this snapshot, or from `nothing`",
    ),
]
WhichSide = Annotated[
    Side, QueryParameter(name="side", description="With `since`: as it is, or as it was before")
]
TREE = {
    200: ResponseSpec(
        data_container=bytes,
        media_type=MEDIA_TYPE,
        description="A plain tar (pax), in the order of paths",
    )
}


@post(
    f"{PLACE}/import",
    opt={**WRITE_SESSION, "takes_bytes": (MEDIA_TYPE,)},
    status_code=201,
    tags=["snapshots"],
)
async def import_tree(
    *,
    request: Request[Any, Any, Any],
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    tree_imports: NamedDependency[TreeImports],
    idempotency_key: IdempotencyKey = None,
) -> Response[ImportedTree]:
    """The body is a plain tar (`application/x-tar`), as of `tar --sort=name`; it replaces the
    workspace, whose former state stays listed. 409 with a worker, or a run that waits or works.
    """
    _require_tar(request)
    body = RequestBody(request.receive, silence=BODY_SECONDS)
    ask = ask_of(request, principal, None, idempotency_key)
    try:
        async with aclosing(body.parts()) as parts:
            try:
                done = await tree_imports.take(ask, session_id, parts, by=principal.user_id)
            except BerthError:
                await _drained(parts)
                raise
    except CallerLeft:
        detail = "the body stopped before its end"
        raise BerthError(Code.VALIDATION, detail, field="body") from None
    return Response(done.value, headers=replayed_headers(replayed=done.replayed))


@get(f"{PLACE}/export", opt=READ_SESSION, tags=["snapshots"], responses=TREE)
async def export_tree(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    project_id_of_path: NamedDependency[UUID],
    tree_exports: NamedDependency[TreeExports],
    snapshot_id: SnapshotId = None,
    since: Since = None,
    side: WhichSide = Side.AFTER,
) -> Content:
    """The workspace as a snapshot has it, without agents' own memory. `Berth-Withheld` says how
    many files of sensitive names were left out: they are for owners of the project.
    """
    opens = access.may(principal, Action.OPEN_SENSITIVE, project_id_of_path)
    asked = AskedTree(
        session_id=session_id,
        by=FileCaller(
            user_id=principal.user_id, project_id=project_id_of_path, opens_sensitive=opens
        ),
        snapshot_id=snapshot_id,
        since=_since(since),
        from_nothing=since == NOTHING,
        side=side,
    )
    found = await tree_exports.export(asked)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-disposition": f'attachment; filename="workspace-{session_id}.tar"',
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        SNAPSHOT_HEADER.lower(): str(found.snapshot_id),
        WITHHELD_HEADER.lower(): str(found.withheld),
        FILES_HEADER.lower(): str(found.files),
        BYTES_HEADER.lower(): str(found.size),
    }
    return Content(headers=headers, pieces=await begun(found.content))


async def _drained(parts: AsyncGenerator[bytes]) -> None:
    """Whoever still sends would see a cut connection, and not why: it is heard out, for a while."""
    with suppress(TimeoutError, CallerLeft, BerthError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in parts:
                continue


def _since(text: str | None) -> UUID | None:
    if text is None or text == NOTHING:
        return None
    try:
        return UUID(text)
    except ValueError:
        expected = f"a snapshot's id, or `{NOTHING}`"
        raise BerthError(
            Code.VALIDATION, f"since: expected {expected}", field="since", expected=expected
        ) from None


def _require_tar(request: Request[Any, Any, Any]) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise BerthError(
            Code.UNSUPPORTED_MEDIA,
            f"Content-Type: expected {MEDIA_TYPE}",
            field="Content-Type",
            expected=MEDIA_TYPE,
        )


TREE_ROUTES = [import_tree, export_tree]
