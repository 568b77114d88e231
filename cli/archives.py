"""A session's archive out of an installation and into one, as streams."""

import asyncio
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import UUID

from cli.client import ApiClient
from cli.exits import CliError, Exit
from cli.output import Output
from cli.progress import metered
from cli.transfers import LONG, pieces_of, received, sent
from contracts.archives import MEDIA_TYPE
from contracts.sessions import Session

STANDARD = "-"
CUT = (
    "The archive was cut before its end: a pack cannot be read. See the control plane's"
    " log, or export an earlier snapshot with --snapshot."
)


async def fetch(client: ApiClient, session: UUID, snapshot: UUID | None, to: str) -> int:
    """Its bytes. A file appears under its name once all of it is there."""
    if to == STANDARD:
        return await _received(client, session, snapshot, sys.stdout.buffer)
    whole = Path(to)
    part = whole.with_name(f"{whole.name}.part")
    try:
        with _opened(part, "xb") as file:
            size = await _received(client, session, snapshot, file)
        await asyncio.to_thread(part.replace, whole)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return size


async def send(client: ApiClient, project: UUID, source: str) -> Session:
    if source == STANDARD:
        return await _sent(client, project, sys.stdin.buffer)
    with _opened(Path(source), "rb") as file:
        return await _sent(client, project, file)


def _opened(path: Path, mode: str) -> IO[bytes]:
    try:
        return path.open(mode)
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}.", Exit.USAGE) from error


async def _received(
    client: ApiClient, session: UUID, snapshot: UUID | None, file: IO[bytes]
) -> int:
    path = f"/api/v1/sessions/{session}/export"
    query = {} if snapshot is None else {"snapshot_id": str(snapshot)}
    with metered(Output(), f"fetching session {session}") as meter:
        await received(client, path, file, meter, query=query, within=LONG, cut=CUT)
    return meter.bytes


async def _sent(client: ApiClient, project: UUID, file: IO[bytes]) -> Session:
    path = f"/api/v1/projects/{project}/sessions/import"
    known = os.fstat(file.fileno())
    total = known.st_size if stat.S_ISREG(known.st_mode) else None
    with metered(Output(), "sending the archive", total_bytes=total) as meter:
        return await sent(
            client,
            "POST",
            path,
            Session,
            pieces=pieces_of(file, meter),
            headers={"Content-Type": MEDIA_TYPE},
            within=LONG,
        )
