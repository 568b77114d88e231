"""The bytes of projects' files: into the store and out of it, and away when no file names them."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO
from uuid import UUID

from chassis.errors import BerthError, DependencyUnavailable
from chassis.failpoints import failpoint
from chassis.files.ranges import Stretch
from chassis.logs import get_logger
from chassis.objects import ObjectStore
from contracts.errors import Code
from control_plane.domain.project_files import FileRow
from control_plane.store import project_objects as store
from control_plane.store.database import Database, Unit

PIECE_BYTES = 4 * 1024 * 1024
"""Read from the store at once."""
WRITTEN_AT_ONCE = 1024 * 1024
AT_ONCE = 100

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Received:
    """A body, whole and hashed, in a file without a name."""

    file: IO[bytes]
    sha256: str
    length: int


class ProjectObjects:
    """`grace`: seconds that an object stays after it was named last, and again once condemned."""

    def __init__(self, database: Database, objects: ObjectStore, *, grace: float) -> None:
        self._database = database
        self._objects = objects
        self._grace = grace

    async def keep(self, project_id: UUID, received: Received) -> str:
        """Its key. What the project has already is not put again."""
        async with self._database.unit() as unit:
            held = await store.hold(
                unit, project_id, sha256=received.sha256, length=received.length
            )
        await failpoint("project_objects.held")
        if not held.stored:
            await self._objects.put_file(held.key, received.file)
        await failpoint("project_objects.put")
        return held.key

    async def confirm(self, unit: Unit, project_id: UUID, kept: Mapping[str, str]) -> None:
        """Keys by hash, in the transaction that names them. Raises `dependency_unavailable` if one
        is gone again.
        """
        if not await store.stored(unit, project_id, kept):
            how = "send it again: what it was put in was collected meanwhile"
            raise DependencyUnavailable("object_store", how, retry_after=1)

    async def content(self, row: FileRow, stretch: Stretch | None) -> AsyncGenerator[bytes]:
        """Of a file. All of it is compared with its hash at the end: raises `internal`."""
        start = stretch.start if stretch else 0
        end = start + stretch.length if stretch else row.size
        whole = hashlib.sha256()
        for offset in range(start, end, PIECE_BYTES):
            length = min(PIECE_BYTES, end - offset)
            piece = await self._objects.get_range(str(row.key), offset=offset, length=length)
            if len(piece) != length:
                raise _damaged(row)
            whole.update(piece)
            if stretch is None and offset + length == end and whole.hexdigest() != row.sha256:
                raise _damaged(row)
            yield piece

    async def collect(self) -> int:
        """One pass: condemns what nobody names, deletes what was condemned long enough ago."""
        async with self._database.unit() as unit:
            await store.condemn(unit, grace=self._grace)
            keys = await store.doom(unit, grace=self._grace, limit=AT_ONCE)
        await failpoint("project_objects.doomed")
        for key in keys:
            await self._objects.delete(key)
        await failpoint("project_objects.deleted")
        async with self._database.unit() as unit:
            await store.forget(unit, keys)
        return len(keys)


@asynccontextmanager
async def received(parts: AsyncIterator[bytes], *, limit: int) -> AsyncGenerator[Received]:
    """Raises `too_large`, and whatever `parts` raises."""
    with tempfile.TemporaryFile() as file:
        digest, length, waiting = hashlib.sha256(), 0, bytearray()
        async for part in parts:
            length += len(part)
            if length > limit:
                raise BerthError(
                    Code.TOO_LARGE, f"a file of a project holds at most {limit} bytes", limit=limit
                )
            digest.update(part)
            waiting += part
            if len(waiting) >= WRITTEN_AT_ONCE:
                await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(_finish, file, bytes(waiting))
        yield Received(file, digest.hexdigest(), length)


def _finish(file: IO[bytes], rest: bytes) -> None:
    file.write(rest)
    file.seek(0)


def _damaged(row: FileRow) -> BerthError:
    _log.error("project_object_damaged", key=row.key, path=row.path)
    return BerthError(Code.INTERNAL, f"{row.path[:300]}: the store gave other bytes than it got")
