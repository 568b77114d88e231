"""Saving and restoring a tree by hand, without a worker around it."""

import os
from dataclasses import dataclass
from pathlib import Path

from contracts.snapshots import RestorePoint, Signed, SnapshotKind
from executor.workspace.index import Index
from executor.workspace.restoring import restore, wipe
from executor.workspace.saving import Asked, Saved, save
from executor.workspace.transfer import Store
from snapshots.manifest import Limits, Manifest
from snapshots.model import Item
from snapshots.reading import manifest_of
from tests.executor.outside import Outside
from tests.executor.trees import tree_at

LIMITS = Limits(max_items=100_000, max_bytes=1 << 34)
ACKNOWLEDGED = Asked(kind=SnapshotKind.ACKNOWLEDGED, limits=LIMITS)
CHECKPOINT = Asked(kind=SnapshotKind.CHECKPOINT, limits=LIMITS, quiet=False)


@dataclass(frozen=True)
class Disk:
    """A workspace, and what is remembered of it."""

    root: Path
    index: Index

    async def save(self, store: Store, asked: Asked = ACKNOWLEDGED) -> Saved:
        saved = await save(tree_at(self.root), store, self.index, asked)
        assert saved is not None
        self.index.keep()
        return saved

    async def restore(
        self, store: Store, point: RestorePoint, *, reuse: bool = False, limits: Limits = LIMITS
    ) -> Manifest:
        if not reuse:
            wipe(self.root)
        tree = tree_at(self.root)
        return await restore(tree, point, store, self.index, limits=limits, reuse=reuse)


def disk_at(place: Path) -> Disk:
    return Disk(place / "workspace", Index(place / "index"))


def manifest_in(saved: Saved) -> Manifest:
    return manifest_of(saved.stored, LIMITS)


def items_of(saved: Saved) -> dict[str, Item]:
    return {os.fsdecode(item.path): item for item in manifest_in(saved).items()}


def point(outside: Outside, saved: Saved) -> RestorePoint:
    outside.drafts[saved.draft.id] = saved.draft
    return outside.point(saved.draft.id)


def point_of(saved: Saved, signed: Signed) -> RestorePoint:
    return RestorePoint(
        snapshot_id=saved.draft.id,
        type=saved.draft.type,
        manifest=signed,
        manifest_sha256=saved.draft.manifest_sha256,
    )
