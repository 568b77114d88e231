"""Restores a snapshot into a workspace: beside, then renamed, and only then called restored.

    manifest → plan → directories → frames fetched and written, several at once → links → renamed

The staging directory stands inside the workspace, which may be a mount point. Until the caller's
marker says `restored`, whatever stands in the workspace is nobody's: a process that died in the
middle wipes it and starts again.

Callable without a whole executor: `restore(Tree(root, AgentThreads(None)), point, store, ...)` with
any `executor.workspace.transfer.Store`.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from chassis.failpoints import failpoint, failpoint_sync
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.snapshots import MAX_OBJECT_BYTES, RestorePoint
from executor.threads import in_thread
from executor.workspace.beneath import DIRECTORY, open_up, opened_directory, remove
from executor.workspace.digests import sha256_of
from executor.workspace.errors import Corrupt, RestoreFailed
from executor.workspace.former import stamps_writes
from executor.workspace.index import Index, IndexReader, IndexUnusable
from executor.workspace.indexing import index_restored
from executor.workspace.planning import Load, Needed, Plan
from executor.workspace.progress import Progress
from executor.workspace.reusing import NOTHING, Reusable, ignored_in, move_ignored
from executor.workspace.scan import MOUNT_OWN, STAGING_PREFIX
from executor.workspace.transfer import Store
from executor.workspace.tree import Tree
from executor.workspace.writing import Writer, finish_top
from snapshots import errors
from snapshots.manifest import Limits, Manifest
from snapshots.model import Item
from snapshots.reading import manifest_of

THREADS = 4
LOADS = 6
"""Fetched or written at once: as many packs are in memory."""
GROUP_BYTES = 1024 * 1024
"""Of content that one thread writes in one go."""
SLICE = 64
"""Directories or files without content, made in one go."""

T = TypeVar("T")

_log = get_logger()


async def restore(
    tree: Tree,
    point: RestorePoint,
    store: Store,
    index: Index,
    *,
    limits: Limits,
    reuse: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Into an empty workspace; with `reuse` over the tree that the index describes, of which what
    did not change is taken over and the rest goes. The index is that of the new tree.

    Raises `RestoreFailed`, `Superseded`, `OSError`; then something may be left in the workspace,
    for `wipe`, and there is no index.
    """
    await failpoint("restore.before_manifest")
    former = await in_thread(index.open) if reuse else None
    try:
        with _told():
            manifest = await _manifest(point, store, limits)
            # from here on it describes a tree that is no longer there
            await in_thread(index.forget)
            progress = progress or Progress("restore")
            progress.expect(files=manifest.totals.files, size=manifest.totals.bytes)
            restoring = _Restoring(tree, store, manifest, progress, limits.max_items)
            await restoring.run(former)
    finally:
        if former is not None:
            former.close()
    await failpoint("restore.after_publish")
    await _index(tree, manifest, index, point, limits)
    return manifest


async def _manifest(point: RestorePoint, store: Store, limits: Limits) -> Manifest:
    stored = await store.fetch(point.manifest, limit=MAX_OBJECT_BYTES)
    if await in_thread(sha256_of, stored) != point.manifest_sha256:
        raise Corrupt("the manifest's hash differs")
    return await in_thread(manifest_of, bytes(stored), limits)


class _Restoring:
    def __init__(
        self, tree: Tree, store: Store, manifest: Manifest, progress: Progress, max_items: int
    ) -> None:
        self._tree = tree
        self._max_items = max_items
        self._threads = tree.threads
        self._store = store
        self._manifest = manifest
        self._progress = progress
        self._turns = asyncio.Semaphore(THREADS)

    async def run(self, former: IndexReader | None) -> None:
        async with _staging(self._tree) as (top, staging, name):
            plan = await self._threads.run(_plan, self._manifest, top, former)
            writer = Writer(staging, self._progress)
            ignored: list[bytes] = []
            if former is not None:
                ignored = await self._tree.run(ignored_in, max_items=self._max_items)
            await self._make_tree(plan, writer, top)
            await self._write_contents(plan, writer)
            await self._threads.run(move_ignored, top, staging, ignored)
            await self._threads.run(_finish, writer, plan, self._manifest)
            await self._threads.run(_publish, top, staging, name, plan)

    async def _make_tree(self, plan: Plan, writer: Writer, top: int) -> None:
        depth = sorted(plan.directories, key=_depth)
        for _, level in groupby(depth, key=_depth):
            await self._in_slices(writer.make_directories, list(level))
        await self._threads.run(writer.take_over, top, plan.reused)
        await self._in_slices(writer.make_files, plan.empty + plan.pieced)
        await failpoint("restore.after_tree")

    async def _in_slices(self, make: Callable[[Sequence[Item]], None], items: list[Item]) -> None:
        slices = (items[start : start + SLICE] for start in range(0, len(items), SLICE))
        await _all(self._turn(make, some) for some in slices)

    async def _turn(self, function: Callable[[T], None], argument: T) -> None:
        async with self._turns:
            await self._threads.run(function, argument)

    async def _write_contents(self, plan: Plan, writer: Writer) -> None:
        self._store.expect(plan.keys)
        loads = plan.loads()

        async def work() -> None:
            for load in loads:
                await self._write_load(load, writer)

        await _all(work() for _ in range(LOADS))

    async def _write_load(self, load: Load, writer: Writer) -> None:
        stretch = (load.offset, load.length)
        content = await self._store.read(load.key, stretch, whole=load.whole)
        if len(content) != load.length:
            raise Corrupt(f"pack {load.key} is of another length")
        view = memoryview(content)
        frames = [
            (frame, view[frame.offset - load.offset :][: frame.length]) for frame in load.frames
        ]
        await _all(self._turn(writer.write, group) for group in _groups(frames))


def _plan(manifest: Manifest, top: int, former: IndexReader | None) -> Plan:
    if former is not None:
        try:
            return Plan(manifest, Reusable(top, former, believes=stamps_writes(top)))
        except IndexUnusable as error:
            _log.warning("nothing_reused", reason=str(error))
    return Plan(manifest, NOTHING)


def _finish(writer: Writer, plan: Plan, manifest: Manifest) -> None:
    writer.finish_files(plan.pieced)
    if plan.has_twins:
        writer.make_twins(manifest)
    if plan.has_links:
        writer.make_links(manifest)
    failpoint_sync("restore.after_links")
    writer.finish_directories(plan.directories)


def _groups(
    frames: list[tuple[Needed, memoryview]],
) -> Iterable[list[tuple[Needed, memoryview]]]:
    group: list[tuple[Needed, memoryview]] = []
    size = 0
    for needed, frame in frames:
        group.append((needed, frame))
        size += needed.bytes
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _depth(item: Item) -> int:
    return item.path.count(b"/")


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """The first failure ends the others. A thread cannot be cancelled: none goes on writing after
    its handles are closed.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _told() -> Generator[None]:
    """What is wrong with a snapshot, in the words of a restore."""
    try:
        yield
    except errors.Corrupt as error:
        raise Corrupt(error.detail) from error
    except errors.Unusable as error:
        raise RestoreFailed(error.reason, error.detail) from error


async def _index(
    tree: Tree, manifest: Manifest, index: Index, point: RestorePoint, limits: Limits
) -> None:
    with index.writing() as writer:
        await tree.run(
            index_restored,
            manifest,
            writer,
            snapshot_id=point.snapshot_id,
            max_items=limits.max_items,
        )
    await failpoint("restore.before_index")
    await in_thread(index.keep)
    await failpoint("restore.after_index")


def is_empty(root: Path) -> bool:
    with opened_directory(root) as top:
        return all(os.fsencode(name) == MOUNT_OWN for name in os.listdir(top))  # noqa: PTH208  # of a handle


def wipe(root: Path) -> None:
    """Everything, half-restored or not."""
    with opened_directory(root) as top:
        open_up(top)
        for found in os.listdir(top):  # noqa: PTH208  # of a handle
            name = os.fsencode(found)
            if name != MOUNT_OWN:
                remove(top, name)
    failpoint_sync("restore.after_wipe")


@asynccontextmanager
async def _staging(tree: Tree) -> AsyncGenerator[tuple[int, int, bytes]]:
    name = STAGING_PREFIX + str(new_id()).encode()
    top, staging = await tree.run(_make_staging, name)
    try:
        yield top, staging, name
    finally:
        os.close(staging)
        os.close(top)


def _make_staging(root: Path, name: bytes) -> tuple[int, int]:
    with opened_directory(root) as top:
        os.mkdir(name, 0o700, dir_fd=top)
        staging = os.open(name, DIRECTORY, dir_fd=top)
        return os.dup(top), staging


def _publish(top: int, staging: int, name: bytes, plan: Plan) -> None:
    failpoint_sync("restore.before_publish")
    for found in os.listdir(top):
        old = os.fsencode(found)
        if old not in {name, MOUNT_OWN}:
            remove(top, old)
            failpoint_sync("reuse.between_removals")
    for found in os.listdir(staging):
        os.rename(found, found, src_dir_fd=staging, dst_dir_fd=top)
        failpoint_sync("restore.between_renames")
    os.rmdir(name, dir_fd=top)
    finish_top(top, plan.directories)
    os.fsync(top)
