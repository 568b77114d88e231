"""Which snapshots are taken from an executor. Pure."""

from collections.abc import Collection
from uuid import UUID

from contracts.errors import Code
from contracts.snapshots import SnapshotDraft, SnapshotKind
from contracts.spool import SnapshotCommitted
from control_plane.domain.packs import is_below, is_of, session_prefix
from control_plane.domain.session_state import SessionState
from control_plane.domain.words import countable

MAX_INT = 2**31 - 1


def refusal(
    entry: SnapshotCommitted,
    *,
    state: SessionState,
    taken: Collection[UUID],
    gone: Collection[UUID],
) -> Code | None:
    """None: it is taken."""
    draft = entry.snapshot
    if draft.type is SnapshotKind.SIDE:
        return Code.CONFLICT
    if not _names_its_own(draft, state):
        return Code.FORBIDDEN
    if draft.id in taken:
        return Code.CONFLICT
    if not _fits(entry):
        return Code.VALIDATION
    if draft.parent != state.session.head_snapshot_id:
        return Code.HEAD_MOVED
    return Code.SNAPSHOT_PACKS_GONE if draft.id in gone else None


def _names_its_own(draft: SnapshotDraft, state: SessionState) -> bool:
    """Packs may be another session's of the project: a fork goes on with them."""
    project = state.session.project_id
    manifest_is = is_below(session_prefix(project, state.id), draft.manifest_key)
    return manifest_is and all(is_of(project, key) for key in draft.packs)


def _fits(entry: SnapshotCommitted) -> bool:
    draft, attempt = entry.snapshot, entry.attempt
    changes = (draft.added, draft.changed, draft.removed)
    numbers = (draft.files, draft.bytes, draft.new_bytes, *changes)
    return (attempt is None or 0 < attempt <= MAX_INT) and all(n == countable(n) for n in numbers)
