"""Snapshots of a workspace: how the bytes get out and in, and how one is committed."""

import datetime
import enum
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.endpoint import Endpoint
from contracts.runtime_manifests import CleanupRule, ConflictPolicy
from contracts.wire import Md5Base64, Sha256, Wire

MAX_OBJECT_BYTES = 64 * 1024 * 1024
"""No single upload is larger: a pack is closed at 8 MiB, and large files are split."""

ObjectKey = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class SnapshotKind(enum.StrEnum):
    ACKNOWLEDGED = "acknowledged"
    """Taken with the agent's processes ended; moves the session's head."""
    CHECKPOINT = "checkpoint"
    """Taken in the middle of a run, for recovery; never moves the head."""
    SIDE = "side"
    """Saved aside by a superseded worker; listed and restorable."""


class UploadAsk(Wire, frozen=True, kw_only=True):
    purpose: Literal["pack", "manifest", "spool"]
    length: Annotated[int, msgspec.Meta(ge=0, le=MAX_OBJECT_BYTES)]
    md5: Md5Base64


class AskUploads(Wire, frozen=True, kw_only=True):
    epoch: int
    objects: Annotated[list[UploadAsk], msgspec.Meta(min_length=1, max_length=64)]


class Signed(Wire, frozen=True, kw_only=True):
    """One exact call: key, method, for a PUT length and MD5. `headers` are sent as they are."""

    key: str
    url: str
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class Uploads(Wire, frozen=True, kw_only=True):
    objects: list[Signed]
    """In the order of the ask."""


class AskDownloads(Wire, frozen=True, kw_only=True):
    keys: Annotated[list[ObjectKey], msgspec.Meta(min_length=1, max_length=256)]


class Downloads(Wire, frozen=True, kw_only=True):
    objects: list[Signed]


class SnapshotDraft(Wire, frozen=True, kw_only=True):
    """What an executor commits: uploaded packs and a manifest, not yet the session's."""

    id: UUID
    type: SnapshotKind
    parent: UUID | None
    """The head that it was taken from."""
    manifest_key: ObjectKey
    manifest_sha256: Sha256
    files: int
    bytes: int
    new_bytes: int = 0
    """Uploaded for it."""
    added: int = 0
    changed: int = 0
    removed: int = 0
    """Files, links and directories, against what the save was based on: its parent, or a later
    checkpoint."""
    packs: list[ObjectKey] = msgspec.field(default_factory=list[ObjectKey])
    """All that its manifest names, also those that earlier snapshots uploaded."""


class RestorePoint(Wire, frozen=True, kw_only=True):
    snapshot_id: UUID
    type: SnapshotKind
    manifest: Signed
    manifest_sha256: Sha256


class LayerFile(Wire, frozen=True, kw_only=True):
    path: str
    """Beneath the layer's; empty: it is what stands at the layer's path itself."""
    size: int = 0
    sha256: Sha256 | None = None
    """None: a directory."""
    executable: bool = False
    key: ObjectKey | None = None
    """Of its object; None where `text` is all of it."""
    text: str | None = None


class Layer(Wire, frozen=True, kw_only=True):
    kind: Literal["seed", "mount"]
    path: str
    """Absolute, in the workspace."""
    unpack: bool = False
    """Its one file is a tar archive, to be unpacked there."""
    files: list[LayerFile] = msgspec.field(default_factory=list[LayerFile])


class RestorePlan(Wire, frozen=True, kw_only=True):
    """What a worker restores, best first: a checkpoint of its retried run, then the head; then what
    its app and its project lay over it.

    Empty: a new workspace.
    """

    points: list[RestorePoint] = msgspec.field(default_factory=list[RestorePoint])
    head: UUID | None = None
    """The parent of the next snapshot."""
    damaged: list[UUID] = msgspec.field(default_factory=list[UUID])
    """Would have come first; found damaged, they are tried last."""
    required_paths: list[str] = msgspec.field(default_factory=list[str])
    layers: list[Layer] = msgspec.field(default_factory=list[Layer])
    cleanup_rules: list[CleanupRule] = msgspec.field(default_factory=list[CleanupRule])
    protected_paths: list[str] = msgspec.field(default_factory=list[str])
    conflict_policy: ConflictPolicy = ConflictPolicy.KEEP_SESSION
    runtime_version: str = ""


class AskRestore(Wire, frozen=True, kw_only=True):
    epoch: int


class CommitSide(Wire, frozen=True, kw_only=True):
    """A superseded worker's last words: the tree as it was, and its undrained spool inside it."""

    snapshot: SnapshotDraft
    spool_key: str | None = None


class SideCommitted(Wire, frozen=True, kw_only=True):
    snapshot_id: UUID


class Snapshot(Wire, frozen=True, kw_only=True):
    id: UUID
    session_id: UUID
    type: SnapshotKind
    parent: UUID | None
    run_id: UUID | None
    epoch: int
    attempt: int | None
    files: int
    bytes: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    """Files, links and directories, against what it was based on."""
    head: bool
    damaged: bool = False
    """A verification found that it cannot be restored whole."""
    created_at: datetime.datetime


class SnapshotPage(Wire, frozen=True, kw_only=True):
    items: list[Snapshot]
    next_cursor: str | None = None


RESTORE = Endpoint(
    "/internal/v1/workers/{worker_id}/restore", AskRestore, RestorePlan, idempotent=True
)
UPLOADS = Endpoint("/internal/v1/workers/{worker_id}/uploads", AskUploads, Uploads, idempotent=True)
DOWNLOADS = Endpoint(
    "/internal/v1/workers/{worker_id}/downloads", AskDownloads, Downloads, idempotent=True
)
COMMIT_SIDE = Endpoint(
    "/internal/v1/workers/{worker_id}/side-snapshot", CommitSide, SideCommitted, idempotent=True
)
