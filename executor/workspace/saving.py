"""Saves a workspace: packs, then the manifest; committing it is the spool's business.

    read and hashed (the agent's identity) → compressed → laid into packs → uploaded

each beside the others, with a few batches and packs in memory. Until its commit is applied, a
snapshot is only objects that nothing refers to: a process that dies here has changed nothing.

Callable without a whole executor: `save(Tree(root, AgentThreads(None)), store, Index(path), ...)`
with any `executor.workspace.transfer.Store`, then `index.keep()` once the snapshot is committed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from uuid import UUID

import msgspec

from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import span
from contracts.snapshots import SnapshotDraft, SnapshotKind
from executor.threads import AgentThreads, in_thread
from executor.workspace.digests import sha256_of
from executor.workspace.index import Index, IndexReader, IndexWriter
from executor.workspace.packing import FullPack, Packer, compressed
from executor.workspace.progress import Progress
from executor.workspace.reading import Batch, Reader
from executor.workspace.transfer import Store
from executor.workspace.tree import Tree
from snapshots.manifest import Limits
from snapshots.model import Skipped

UPLOADS = 4
"""At once; with the one being made and the one waiting at most six packs are in memory."""
BATCHES_AHEAD = 2
RACY_NS = 1_000_000_000
"""Clocks of file systems are coarse, or another machine's."""


class Saved(msgspec.Struct, frozen=True):
    draft: SnapshotDraft
    stored: bytes
    """The manifest as it was uploaded."""
    skipped: list[Skipped]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which save it is to be."""

    kind: SnapshotKind
    parent: UUID | None = None
    limits: Limits
    quiet: bool = True
    """No process of the agent exists."""
    unless_same: bool = False
    """Nothing is to be made of a tree that is as the index says, times included."""
    apart: frozenset[bytes] = frozenset()
    """Paths that are not the session's own: layers', which each worker is given anew."""

    @property
    def careful(self) -> bool:
        return self.kind is not SnapshotKind.CHECKPOINT


async def save(
    tree: Tree,
    store: Store,
    index: Index,
    asked: Asked,
    *,
    on_read: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> Saved | None:
    """`on_read` is called when the tree is read to its end; what is left is to upload.

    None: it is the same, and was not wanted then. Raises `SaveFailed`, `Superseded`, `OSError`.
    """
    with span("save", kind=asked.kind.value):
        await failpoint("save.before_scan")
        former = await in_thread(index.open)
        try:
            with index.writing() as writer:
                saving = _Saving(tree.threads, store, former, writer, asked)
                progress = progress or Progress("save")
                if former is not None:
                    # about as much as the last time
                    progress.expect(size=sum(pack.named for pack in former.footer.packs))
                return await saving.run(tree, on_read, progress)
        finally:
            if former is not None:
                former.close()


class _Saving:
    def __init__(
        self,
        threads: AgentThreads,
        store: Store,
        former: IndexReader | None,
        writer: IndexWriter,
        asked: Asked,
    ) -> None:
        self._threads = threads
        self._store = store
        self._former = former
        self._asked = asked
        self._packer = Packer(former.footer.packs if former else [], writer)
        self._uploads = _Uploads(store)
        self._settled = time.time_ns() - RACY_NS

    async def run(
        self, tree: Tree, on_read: Callable[[], None] | None, progress: Progress
    ) -> Saved | None:
        asked = self._asked
        reader = await tree.run(
            Reader,
            self._former,
            quiet=asked.quiet,
            careful=asked.careful,
            limits=asked.limits,
            progress=progress,
            apart=asked.apart,
        )
        try:
            await self._pack(reader, on_read)
            if asked.unless_same and reader.same and self._is_known:
                return None
            if (last := self._packer.last()) is not None:
                await self._uploads.begin(last)
            await self._uploads.finish()
        finally:
            await self._uploads.close()
            await self._threads.run(reader.close)
        await failpoint("save.after_packs")
        return await self._finish(reader)

    @property
    def _is_known(self) -> bool:
        """There is something to be the same as: the former snapshot, or none at all."""
        return self._former is not None or self._asked.parent is None

    async def _pack(self, reader: Reader, on_read: Callable[[], None] | None) -> None:
        ahead: deque[tuple[Batch, asyncio.Task[list[bytes]]]] = deque()
        reading = True
        try:
            while reading or ahead:
                while reading and len(ahead) < BATCHES_AHEAD:
                    batch = await self._threads.run(reader.following)
                    if batch is None:
                        reading = False
                        if on_read is not None:
                            on_read()
                    else:
                        await failpoint("save.after_batch")
                        compressing = asyncio.create_task(in_thread(compressed, batch.frames))
                        ahead.append((batch, compressing))
                if ahead:
                    batch, compressing = ahead[0]
                    full = await in_thread(self._packer.take, batch, await compressing)
                    ahead.popleft()
                    for pack in full:
                        await self._uploads.begin(pack)
        finally:
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _finish(self, reader: Reader) -> Saved:
        stored = await in_thread(self._packer.stored, reader.skipped)
        key = await self._store.upload("manifest", stored)
        await failpoint("save.after_manifest_put")
        snapshot_id = new_id()
        await in_thread(self._packer.finish_index, snapshot_id, self._settled)
        files, size = self._packer.totals
        draft = SnapshotDraft(
            id=snapshot_id,
            type=self._asked.kind,
            parent=self._asked.parent,
            manifest_key=key,
            manifest_sha256=await in_thread(sha256_of, stored),
            files=files,
            bytes=size,
            new_bytes=self._uploads.bytes + len(stored),
            added=reader.tally.added,
            changed=reader.tally.changed,
            removed=reader.removed,
            packs=self._packer.keys(),
        )
        return Saved(draft, stored, reader.skipped)


class _Uploads:
    """A few at once; the first that fails is what `begin` or `finish` raises."""

    def __init__(self, store: Store) -> None:
        self.bytes = 0
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, pack: FullPack) -> None:
        await failpoint("save.before_pack_put")
        self._tasks.add(asyncio.create_task(self._put(pack)))
        while len(self._tasks) >= UPLOADS:
            await self._some()

    async def finish(self) -> None:
        while self._tasks:
            await self._some()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _some(self) -> None:
        done, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _put(self, pack: FullPack) -> None:
        pack.key = await self._store.upload("pack", pack.content)
        self.bytes += pack.length
        pack.content = bytearray()
        await failpoint("save.after_pack_put")
