"""A session's workspace files: how they are named to the API, and how they get there."""

import os
from pathlib import Path
from urllib.parse import quote_from_bytes
from uuid import UUID

from cli.client import ApiClient, Refused
from cli.exits import CliError, Exit
from cli.transfers import quoted, send_file, send_tree
from contracts.errors import Code
from contracts.workspace_files import UploadedFiles, WorkspaceTree, WrittenFile


async def put_file(
    client: ApiClient, session: UUID, source: Path, path: str, conditions: dict[str, str]
) -> WrittenFile:
    try:
        file = source.open("rb")
    except OSError as error:
        raise CliError(f"{source}: {error.strerror}", Exit.USAGE) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        headers = {**conditions, "Content-Length": str(size)}
        place = f"{place_of(session, 'file')}?path={quoted(path)}"
        return await send_file(
            client, "PUT", place, WrittenFile, file=file, headers=headers, what=source.name
        )


async def put_tree(client: ApiClient, session: UUID, source: Path, path: str) -> UploadedFiles:
    return await send_tree(client, place_of(session, "upload"), source, path)


async def name_here(client: ApiClient, session: UUID, path: str) -> str:
    """What it is called once it is fetched."""
    name = path.rpartition("/")[2] or str(session)
    try:
        await client.get(place_of(session, "tree"), WorkspaceTree, **named(path), limit=1)
    except Refused as refused:
        if refused.problem.code != Code.VALIDATION:
            raise
        return name  # a file: it has no tree
    return f"{name}.zip"


def place_of(session: UUID, operation: str) -> str:
    return f"/api/v1/session-workers/{session}/workspace/{operation}"


def escaped(path: str) -> str:
    """Any name that a shell can give: it need not be UTF-8."""
    return quote_from_bytes(os.fsencode(path))


def named(path: str) -> dict[str, str]:
    return {"path": escaped(path), "escaped": "1"}
