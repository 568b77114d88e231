"""The executor's durable, ordered spool: what must reach the control plane, once, in order.

An entry has its seq when it is on disk, not before. Entries that arrive together share a sync. When
the spool is full, events wait (back-pressure on the agent); what ends or saves a run never does.
A disk that refuses a write is tried again for ever: nothing that was promised is dropped.
"""

import asyncio
import os
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

from chassis.logs import get_logger
from contracts.spool import AnyEntry, EventReported
from executor.segments import Segments, SpoolRefused, replace_file
from executor.threads import in_thread

__all__ = ["UNNUMBERED", "Spool", "SpoolIdentity", "SpoolRefused"]

UNNUMBERED = 0
"""The `seq` of an entry that is not in the spool yet: the spool gives it its own."""

RETRY_SECONDS = 1.0

_log = get_logger()


class SpoolIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose spool it is. One of another boot of the host may have lost what was not synced."""

    worker_id: UUID
    epoch: int
    boot_id: str


class Spool:
    """Opened by `open`. `acked` ≤ `last`: the entries between are not yet the control plane's."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        self._segments = Segments(directory)
        self._max_bytes = max_bytes
        self._waiting: list[tuple[int, bytes, asyncio.Future[None]]] = []
        self._next = 1
        self._changed = asyncio.Event()
        self._written = asyncio.Event()
        self._files = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, directory: Path, identity: SpoolIdentity, *, max_bytes: int) -> Self:
        """Raises `SpoolRefused` for one of another worker, epoch or boot, or a broken one."""
        spool = cls(directory, max_bytes=max_bytes)
        await in_thread(_prepare, directory, identity)
        await in_thread(spool._segments.recover)
        spool._next = spool._segments.last + 1
        spool._writer = asyncio.create_task(spool._write(), name="spool writer")
        return spool

    @property
    def acked(self) -> int:
        return self._segments.acked

    @property
    def last(self) -> int:
        return self._segments.last

    @property
    def pending(self) -> int:
        """Entries that the control plane has not acknowledged."""
        return self._next - 1 - self.acked

    @property
    def full(self) -> bool:
        return self._segments.size >= self._max_bytes

    async def append(self, entry: AnyEntry, *, wait: bool = True) -> int:
        """Returns its seq when it is on disk. An event waits for room, if `wait`."""
        if wait and isinstance(entry, EventReported):
            await self.room()
        seq = self._next
        payload = msgspec.json.encode(msgspec.structs.replace(entry, seq=seq))
        done = asyncio.get_running_loop().create_future()
        # no await between taking the seq and queueing: the order of seqs is the order on disk
        self._next += 1
        self._waiting.append((seq, payload, done))
        self._written.set()
        # whoever is cancelled while waiting has spooled it all the same
        await asyncio.shield(done)
        return seq

    async def read(self, after: int, *, entries: int, size: int) -> list[tuple[int, AnyEntry]]:
        """What follows `after` now; empty if nothing does. `size` is in bytes."""
        async with self._files:
            found = await in_thread(self._segments.read, after, entries=entries, size=size)
        return [(seq, msgspec.json.decode(data, type=AnyEntry)) for seq, data in found]

    async def acknowledge(self, seq: int) -> None:
        async with self._files:
            await in_thread(self._segments.acknowledge, min(seq, self.last))
        self._change()

    async def wait(self, after: int) -> None:
        """Until there is an entry behind `after`."""
        while self.last <= after:
            await self._changed.wait()

    async def drained(self) -> None:
        """Until the control plane has acknowledged all that was appended."""
        while self.pending:
            await self._changed.wait()

    async def flush(self) -> None:
        """Until all that was appended is on disk."""
        while self.last < self._next - 1:
            await self._changed.wait()

    async def close(self) -> None:
        await self.flush()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._segments.close()

    async def room(self) -> None:
        """Until the spool is not full."""
        while self.full:
            await self._changed.wait()

    async def _write(self) -> None:
        while True:
            await self._written.wait()
            self._written.clear()
            group, self._waiting = self._waiting, []
            if group:
                await self._write_group(group)

    async def _write_group(self, group: list[tuple[int, bytes, asyncio.Future[None]]]) -> None:
        frames = [(seq, payload) for seq, payload, _ in group]
        while True:
            try:
                async with self._files:
                    await in_thread(self._segments.write, frames)
                break
            except OSError as error:
                _log.error("spool_write_failed", error=str(error), entries=len(frames))
                await asyncio.sleep(RETRY_SECONDS)
        for _, _, done in group:
            if not done.done():
                done.set_result(None)
        self._change()

    def _change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _prepare(directory: Path, identity: SpoolIdentity) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    meta = directory / "spool.json"
    if not meta.exists():
        if any(directory.glob("*.seg")):
            raise SpoolRefused("unknown_owner")
        replace_file(meta, msgspec.json.encode(identity))
        return
    try:
        found = msgspec.json.decode(meta.read_bytes(), type=SpoolIdentity)
    except msgspec.MsgspecError as error:
        raise SpoolRefused("corrupt") from error
    for field in ("worker_id", "epoch", "boot_id"):
        if getattr(found, field) != getattr(identity, field):
            raise SpoolRefused(f"other_{field}")


def host_boot_id() -> str:
    """The same inside a container: the kernel is the host's."""
    descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 64).decode().strip()
    finally:
        os.close(descriptor)
