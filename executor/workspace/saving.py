"""Saves a workspace: packs, then the manifest; committing it is the spool's business.

Until its commit is applied, a snapshot is only objects that nothing refers to: a process that dies
here has changed nothing.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import span
from contracts.snapshots import SnapshotDraft, SnapshotKind
from executor.threads import AgentThreads, in_thread
from executor.workspace.digests import sha256_of
from executor.workspace.manifest import Manifest, encode
from executor.workspace.packing import FullPack, Packer, StoredPack
from executor.workspace.transfer import Transfer
from executor.workspace.tree import Tree

UPLOADS_AHEAD = 2
"""With the one being made and the one waiting: at most four packs in memory."""


class Limits(msgspec.Struct, frozen=True):
    max_items: int
    max_bytes: int


class Saved(msgspec.Struct, frozen=True):
    draft: SnapshotDraft
    manifest: Manifest
    stored: bytes
    """The manifest as it was uploaded."""


class _Uploading(msgspec.Struct, frozen=True):
    pack: FullPack
    task: asyncio.Task[str]


async def save(
    tree: Tree,
    transfer: Transfer,
    *,
    kind: SnapshotKind,
    parent: UUID | None,
    base: Manifest | None,
    limits: Limits,
    on_read: Callable[[], None] | None = None,
) -> Saved:
    """`on_read` is called when the tree is read to its end; what is left is to upload.

    Raises `SaveFailed`, `Superseded`, `OSError`.
    """
    with span("save", kind=kind.value):
        await failpoint("save.before_scan")
        packer = await tree.run(
            Packer, base, max_items=limits.max_items, max_bytes=limits.max_bytes
        )
        try:
            uploaded = await _upload_packs(packer, transfer, tree.threads, on_read)
        finally:
            await tree.threads.run(packer.close)
        await failpoint("save.after_packs")
        return await _manifested(packer, transfer, uploaded, kind=kind, parent=parent)


async def _manifested(
    packer: Packer,
    transfer: Transfer,
    uploaded: list[StoredPack],
    *,
    kind: SnapshotKind,
    parent: UUID | None,
) -> Saved:
    manifest = await in_thread(packer.manifest, uploaded)
    stored = await in_thread(encode, manifest)
    key = await transfer.upload("manifest", stored)
    await failpoint("save.after_manifest_put")
    draft = SnapshotDraft(
        id=new_id(),
        type=kind,
        parent=parent,
        manifest_key=key,
        manifest_sha256=sha256_of(stored),
        files=manifest.files,
        bytes=manifest.bytes,
        new_bytes=sum(pack.length for pack in uploaded) + len(stored),
    )
    return Saved(draft, manifest, stored)


async def _upload_packs(
    packer: Packer,
    transfer: Transfer,
    threads: AgentThreads,
    on_read: Callable[[], None] | None,
) -> list[StoredPack]:
    done: list[StoredPack] = []
    ahead: list[_Uploading] = []
    try:
        while (pack := await threads.run(packer.following)) is not None:
            await failpoint("save.before_pack_put")
            uploading = asyncio.create_task(transfer.upload("pack", pack.content))
            ahead.append(_Uploading(pack, uploading))
            if len(ahead) > UPLOADS_AHEAD:
                done.append(await _finished(ahead))
        if on_read is not None:
            on_read()
        while ahead:
            done.append(await _finished(ahead))
    finally:
        for left in ahead:
            left.task.cancel()
        await asyncio.gather(*(left.task for left in ahead), return_exceptions=True)
    return done


async def _finished(ahead: list[_Uploading]) -> StoredPack:
    key = await ahead[0].task
    await failpoint("save.after_pack_put")
    pack = ahead.pop(0).pack
    return StoredPack(key, len(pack.content), pack.frames)
