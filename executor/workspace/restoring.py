"""Restores a snapshot into a workspace: beside, then renamed, and only then called restored.

The staging directory stands inside the workspace, which may be a mount point. Until the caller's
marker says `restored`, whatever stands in the workspace is nobody's: a process that died in the
middle wipes it and starts again.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from chassis.failpoints import failpoint, failpoint_sync
from chassis.ids import new_id
from contracts.snapshots import MAX_OBJECT_BYTES, RestorePoint
from executor.threads import AgentThreads, in_thread
from executor.workspace.beneath import DIRECTORY, exists, open_up, opened_directory, remove
from executor.workspace.digests import sha256_of
from executor.workspace.errors import Corrupt
from executor.workspace.manifest import Manifest, decode
from executor.workspace.saving import Limits
from executor.workspace.scan import MOUNT_OWN, STAGING_PREFIX
from executor.workspace.transfer import Transfer
from executor.workspace.tree import Tree
from executor.workspace.writing import Writer, needed_packs

MOUNTED_AT = "/workspace"

THREADS = 4


async def restore(
    tree: Tree, point: RestorePoint, transfer: Transfer, *, limits: Limits
) -> tuple[Manifest, bytes]:
    """Into an empty workspace. Gives the manifest, also as it is stored.

    Raises `RestoreFailed`, `Superseded`, `OSError`; then something may be left in the workspace,
    for `wipe`.
    """
    await failpoint("restore.before_manifest")
    stored = await transfer.fetch(point.manifest, limit=MAX_OBJECT_BYTES)
    if sha256_of(stored) != point.manifest_sha256:
        raise Corrupt("the manifest's hash differs")
    manifest = await in_thread(
        decode, stored, max_items=limits.max_items, max_bytes=limits.max_bytes
    )
    threads = tree.threads
    async with _staging(tree) as (top, staging, name):
        writer = Writer(staging, manifest)
        await threads.run(writer.make_tree)
        await _write_packs(writer, manifest, transfer, threads)
        await threads.run(writer.finish)
        await threads.run(_publish, top, staging, name, writer)
    await failpoint("restore.after_publish")
    return manifest, stored


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


async def _write_packs(
    writer: Writer, manifest: Manifest, transfer: Transfer, threads: AgentThreads
) -> None:
    numbers = needed_packs(manifest)
    of_key = {manifest.packs[number].key: number for number in numbers}
    if len(of_key) != len(numbers):
        raise Corrupt("a pack is named twice")
    writing: set[asyncio.Task[None]] = set()
    try:
        async for key, content in transfer.fetch_all(list(of_key)):
            if len(content) != manifest.packs[of_key[key]].length:
                raise Corrupt(f"pack {key} is of another length")
            task = asyncio.create_task(threads.run(writer.write_pack, of_key[key], content))
            writing.add(task)
            if len(writing) >= THREADS:
                done, writing = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(*done)
        await asyncio.gather(*writing)
    finally:
        # a thread cannot be cancelled: it must not go on writing after its handles are closed
        await asyncio.gather(*writing, return_exceptions=True)


def _publish(top: int, staging: int, name: bytes, writer: Writer) -> None:
    failpoint_sync("restore.before_publish")
    for found in os.listdir(staging):
        os.rename(found, found, src_dir_fd=staging, dst_dir_fd=top)
        failpoint_sync("restore.between_renames")
    os.rmdir(name, dir_fd=top)
    writer.finish_top(top)
    os.fsync(top)


def missing_paths(root: Path, required: list[str]) -> list[str]:
    """Those of the required paths (absolute, under /workspace) that are not there.

    A link on the way is not followed; a link at the end counts as being there.
    """
    with opened_directory(root) as top:
        return [path for path in required if not _is_there(top, path)]


def _is_there(top: int, path: str) -> bool:
    relative = path.rstrip("/").removeprefix(MOUNTED_AT)
    if not path.startswith(MOUNTED_AT):
        return False
    return not relative or (relative[0] == "/" and exists(top, os.fsencode(relative[1:])))
