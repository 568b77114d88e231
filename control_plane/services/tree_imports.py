"""A tree that is sent becomes a session's workspace: an acknowledged snapshot, its head.

Only of a session that nobody works in: no worker, nothing in its line. It is looked at before the
tree is read and again, under its lock, before the head moves; whoever moved it meanwhile wins.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

from chassis.errors import NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import current_trace_id
from contracts.errors import Code
from contracts.events import WorkspaceSaved
from contracts.sessions import SessionState as SessionLife
from contracts.trees import ImportedTree
from control_plane.domain.session_state import SessionState
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.manifests import Manifests
from control_plane.services.tree_building import BuiltTree, Place, TreeBuilding
from control_plane.store import audit, packs, session_saves, session_states, trees
from control_plane.store import sessions as session_store
from control_plane.store import snapshots as snapshot_store
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded
from snapshots.manifest import Manifest

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Seen:
    place: Place
    head: UUID | None
    former: Manifest | None
    most: int | None
    """Bytes that the session's disk holds, if it has a limit of its own or its app's."""


class TreeImports:
    def __init__(
        self,
        database: Database,
        manifests: Manifests,
        building: TreeBuilding,
        *,
        idempotency: Idempotency,
    ) -> None:
        self._database = database
        self._manifests = manifests
        self._building = building
        self._idempotency = idempotency

    async def take(
        self, ask: Ask, session_id: UUID, parts: AsyncIterator[bytes], *, by: UUID
    ) -> Once[ImportedTree]:
        """Raises Stale `session_busy`, `session_archived`, `worker_not_released`, `head_moved`;
        `validation_failed`, `too_large`.
        """
        seen = await self._look(ask, session_id)
        built = await self._building.build(
            seen.place, parts, by=by, former=seen.former, most=seen.most
        )
        await failpoint("tree.built")

        async def work(unit: Unit) -> ImportedTree:
            return await _committed(unit, seen, built, by=by)

        asked = replace(ask, request_hash=f"{ask.request_hash[:32]}{built.sha256[:32]}")
        return await self._idempotency.once(asked, work, ImportedTree)

    async def _look(self, ask: Ask, session_id: UUID) -> _Seen:
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            repeated = ask.key is not None
            state = await _free(unit, loaded, session_id, repeated=repeated)
            head = await snapshot_store.head(unit.connection, session_id)
            most = await trees.disk_mib(unit.connection, session_id)
        former = None
        if head is not None:
            former = await self._manifests.read(head.manifest_key, head.manifest_sha256)
        return _Seen(
            Place(project_id=state.session.project_id, session_id=session_id),
            None if head is None else head.id,
            former,
            None if most is None else most * MIB,
        )


async def _free(
    unit: Unit, loaded: Loaded, session_id: UUID, *, repeated: bool = False
) -> SessionState:
    """`repeated`: it may be that this was done already, and that a run has begun since."""
    state = loaded.states.get(session_id)
    if state is None:
        raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
    if repeated:
        return state
    if state.session.life is SessionLife.ARCHIVED:
        raise Stale(Code.SESSION_ARCHIVED, "un-archive the session, or take a new one")
    if not await session_store.line_is_empty(unit, session_id):
        raise Stale(Code.SESSION_BUSY, "cancel its runs, or wait for them, then send the tree")
    if state.worker is not None:
        how = f"berth workers stop {session_id}: it saves and stops; then send the tree again"
        raise Stale(Code.WORKER_NOT_RELEASED, how)
    return state


async def _committed(unit: Unit, seen: _Seen, built: BuiltTree, *, by: UUID) -> ImportedTree:
    session_id = seen.place.session_id
    loaded = await session_states.lock(unit, [session_id])
    await failpoint("tree.locked")
    state = await _free(unit, loaded, session_id)
    if state.session.head_snapshot_id != seen.head:
        raise Stale(Code.HEAD_MOVED, "its workspace was saved or moved meanwhile: send it again")
    snapshot_id = new_id()
    state.session.head_snapshot_id = snapshot_id
    state.trace_id = current_trace_id()
    told = state.tell(
        WorkspaceSaved(
            snapshot_id=snapshot_id,
            type="acknowledged",
            files=built.totals.files,
            bytes=built.totals.bytes,
            new_bytes=built.new_bytes,
        )
    )
    await session_saves.save(unit, loaded)
    await trees.insert_snapshot(
        unit, _row(seen, built, snapshot_id, epoch=state.session.epoch, seq=told.seq)
    )
    await packs.name_for(unit, snapshot_id, built.keys)
    await audit.record(
        unit,
        seen.place.project_id,
        actor=by,
        action="session.import_tree",
        target=str(session_id),
        detail={"snapshot_id": str(snapshot_id), "sha256": built.sha256},
    )
    return ImportedTree(
        session_id=session_id,
        snapshot_id=snapshot_id,
        former_head=seen.head,
        files=built.totals.files,
        bytes=built.totals.bytes,
        new_bytes=built.new_bytes,
    )


def _row(
    seen: _Seen, built: BuiltTree, snapshot_id: UUID, *, epoch: int, seq: int
) -> trees.NewTree:
    return trees.NewTree(
        id=snapshot_id,
        project_id=seen.place.project_id,
        session_id=seen.place.session_id,
        parent=seen.head,
        epoch=epoch,
        manifest_key=built.manifest_key,
        manifest_sha256=built.manifest_sha256,
        files=built.totals.files,
        bytes=built.totals.bytes,
        new_bytes=built.new_bytes,
        added=built.totals.items,
        seq=seq,
    )
