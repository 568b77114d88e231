"""What an app says of its sessions' workspaces, and what a restore would do with one.

Layers, each over the ones before: L0 the runtime image; L1 seed files, the session's own once they
are there; L2 mount points, files of the project that are read-only and in no snapshot; L3 the
session's last snapshot; L4 fix-ups: cleanup rules, then protected paths.
"""

import enum
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.reasons import Reason
from contracts.wire import Body, Wire

WORKSPACE = "/workspace"
PROJECT_MOUNT = f"{WORKSPACE}/.berth/project"
"""Where the project's files are, when no manifest says otherwise."""
MAX_ENTRIES = 200
"""Of each list in a manifest."""
SEED_TEXT = 64 * 1024

ManifestPath = Annotated[str, msgspec.Meta(examples=["/workspace/docs/guide.md"])]
"""Absolute, in the workspace; each of its parts plain, none of them a link when it is used."""
SourcePath = Annotated[str, msgspec.Meta(examples=["templates/service"])]
"""Of a file or a folder in the project's files; empty: all of them."""
RuntimeVersion = Annotated[
    str, msgspec.Meta(pattern=r"^([0-9]{1,6}(\.[0-9]{1,6}){0,2})?$", examples=["2.1"])
]
PathRule = Literal[
    "absolute", "under_workspace", "plain_parts", "length", "reserved", "unique", "apart", "source"
]


class ConflictPolicy(enum.StrEnum):
    """When a layer's file meets what the session has there and was not given by that layer."""

    KEEP_SESSION = "keep_session"
    """The session's stays."""
    REPLACE = "replace"
    """The layer's comes in its place, each time a worker is restored."""
    FAIL = "fail"
    """No run starts: `layer_conflict`."""


class SeedFile(Wire, frozen=True, kw_only=True):
    """Put where a session has nothing, once: what the session deletes is not put there again."""

    path: ManifestPath
    source: SourcePath | None = None
    """A file, or a folder with all that is in it."""
    text: Annotated[str, msgspec.Meta(max_length=SEED_TEXT)] | None = None
    """In place of a source."""
    executable: bool = False
    unpack: bool = False
    """The source is an uncompressed tar archive, and `path` the directory for what is in it."""


class MountPoint(Wire, frozen=True, kw_only=True):
    path: ManifestPath
    source: SourcePath = ""


class CleanupRule(Wire, frozen=True, kw_only=True):
    """Removed after each restore, whole trees too. What is not there is no error."""

    path: ManifestPath
    pattern: Annotated[str, msgspec.Meta(max_length=255, examples=["*.lock"])] = ""
    """Only what lies directly in `path` and has such a name (`*`, `?`, `[…]`)."""


class RuntimeManifest(Wire, frozen=True, kw_only=True):
    runtime_version: RuntimeVersion = ""
    """Of what the sessions run in. A session that a newer one saved: a warning where only a later
    number differs, no run (`runtime_too_old`) where the first one does.
    """
    seed_files: Annotated[list[SeedFile], msgspec.Meta(max_length=MAX_ENTRIES)] = msgspec.field(
        default_factory=list[SeedFile]
    )
    mount_points: Annotated[list[MountPoint], msgspec.Meta(max_length=MAX_ENTRIES)] | None = None
    """None: all files of the project at `PROJECT_MOUNT`; empty: none."""
    cleanup_rules: Annotated[list[CleanupRule], msgspec.Meta(max_length=MAX_ENTRIES)] = (
        msgspec.field(default_factory=list[CleanupRule])
    )
    required_paths: Annotated[list[ManifestPath], msgspec.Meta(max_length=MAX_ENTRIES)] = (
        msgspec.field(default_factory=list[str])
    )
    """Without one of them no run starts: `required_paths_missing`."""
    protected_paths: Annotated[list[ManifestPath], msgspec.Meta(max_length=MAX_ENTRIES)] = (
        msgspec.field(default_factory=list[str])
    )
    """Made read-only after each restore, with all that is in them."""
    conflict_policy: ConflictPolicy = ConflictPolicy.KEEP_SESSION


class AskedRuntimeManifest(Body, frozen=True, kw_only=True):
    """`RuntimeManifest` as a person asks for it."""

    runtime_version: RuntimeVersion = ""
    seed_files: Annotated[list[SeedFile], msgspec.Meta(max_length=MAX_ENTRIES)] = msgspec.field(
        default_factory=list[SeedFile]
    )
    mount_points: Annotated[list[MountPoint], msgspec.Meta(max_length=MAX_ENTRIES)] | None = None
    cleanup_rules: Annotated[list[CleanupRule], msgspec.Meta(max_length=MAX_ENTRIES)] = (
        msgspec.field(default_factory=list[CleanupRule])
    )
    required_paths: Annotated[list[ManifestPath], msgspec.Meta(max_length=MAX_ENTRIES)] = (
        msgspec.field(default_factory=list[str])
    )
    protected_paths: Annotated[list[ManifestPath], msgspec.Meta(max_length=MAX_ENTRIES)] = (
        msgspec.field(default_factory=list[str])
    )
    conflict_policy: ConflictPolicy = ConflictPolicy.KEEP_SESSION


class AskRestorePlan(Body, frozen=True, kw_only=True):
    """Of a session, or of one that would be made: with an app, or in a project."""

    session_id: UUID | None = None
    app_id: UUID | None = None
    project_id: UUID | None = None
    runtime_manifest: AskedRuntimeManifest | None = None
    """In place of the app's own, to try one out."""


class PlannedLayer(Wire, frozen=True, kw_only=True):
    layer: Literal["L0", "L1", "L2", "L3", "L4"]
    what: Literal["runtime", "seed", "mount", "snapshot", "cleanup", "protect"]
    path: str = ""
    """Where; empty: the whole workspace."""
    source: str = ""
    """An image, a path in the project's files, a pattern; of a snapshot its id."""
    files: int = 0
    bytes: int = 0


class PlannedConflict(Wire, frozen=True, kw_only=True):
    layer: Literal["L1", "L2"]
    path: str
    outcome: Literal["kept", "replaced", "fails"]
    detail: str


class RuntimeCheck(Wire, frozen=True, kw_only=True):
    saved: str
    """The session's last snapshot was saved by it; empty: nobody said."""
    app: str
    verdict: Literal["fits", "warning", "refused"]


class RunRestorePlan(Wire, frozen=True, kw_only=True):
    """What a worker that is restored now would do, as far as it is known outside of it."""

    session_id: UUID | None
    project_id: UUID
    snapshot_id: UUID | None
    layers: list[PlannedLayer]
    """In order."""
    conflicts: list[PlannedConflict]
    conflict_policy: ConflictPolicy
    required_paths: list[str]
    runtime: RuntimeCheck
    blocked: Reason | None = None
    """Why no run would start."""
    files: int
    bytes: int
