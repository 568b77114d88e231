"""A session that goes on from another one's snapshot: its files and its conversation.

Nothing is copied but rows: the fork's first snapshot names the manifest and the packs that are
there, and its conversation is read from the other session's log (ADR 0028).
"""

from uuid import UUID

from chassis.errors import NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import current_trace_id
from contracts.branches import ForkSession
from contracts.errors import Code
from contracts.session_events import SessionCreated, SessionForked
from contracts.sessions import Session
from control_plane.domain.branches import Cut
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.manifests import Manifests, damaged
from control_plane.store import branches, packs, session_saves, session_states
from control_plane.store import sessions as session_store
from control_plane.store import snapshots as snapshot_store
from control_plane.store.branches import Copy
from control_plane.store.database import Database, Unit
from control_plane.store.snapshots import Point


class Forks:
    def __init__(
        self, database: Database, manifests: Manifests, *, idempotency: Idempotency
    ) -> None:
        self._database = database
        self._manifests = manifests
        self._idempotency = idempotency

    async def fork(
        self, ask: Ask, session_id: UUID, data: ForkSession, *, by: UUID
    ) -> Once[Session]:
        """Of an archived one too, and while it runs. Raises `snapshot_not_found`,
        `snapshot_damaged`.
        """
        earlier = await self._idempotency.earlier(ask, Session)
        if earlier is not None:
            return earlier
        point = await self._point(session_id, data.snapshot_id)
        manifest = await self._manifests.read(point.manifest_key, point.manifest_sha256)
        keys = [pack.key for pack in manifest.packs]
        await failpoint("fork.read")

        async def work(unit: Unit) -> Session:
            cut = await branches.cut_at(unit, session_id, point.id)
            if cut is None:
                raise no_snapshot(point.id)
            return await _forked(unit, cut, data, keys, by=by)

        return await self._idempotency.once(ask, work, Session)

    async def _point(self, session_id: UUID, snapshot_id: UUID | None) -> Point:
        async with self._database.reading() as connection:
            if snapshot_id is None:
                point = await snapshot_store.head(connection, session_id)
            else:
                point = await snapshot_store.point(connection, session_id, snapshot_id)
        if point is None:
            raise no_snapshot(snapshot_id)
        require_whole(point)
        return point


def require_whole(point: Point) -> None:
    """Nobody goes on from what is known not to be restored. Raises `snapshot_damaged`."""
    if point.damaged:
        raise damaged("a verification found wrong bytes in it")


def no_snapshot(snapshot_id: UUID | str | None) -> NotFound:
    what = (
        "the session has no snapshot yet" if snapshot_id is None else f"there is no {snapshot_id}"
    )
    return NotFound(Code.SNAPSHOT_NOT_FOUND, what)


async def _forked(unit: Unit, cut: Cut, data: ForkSession, keys: list[str], *, by: UUID) -> Session:
    fork_id, snapshot_id = new_id(), new_id()
    await session_store.insert_stream(unit, fork_id, cut.project_id)
    await branches.copy_session(unit, cut.session_id, fork_id, title=data.title, by=by)
    await branches.copy_snapshot(
        unit, cut.snapshot_id, Copy(id=snapshot_id, session_id=fork_id, seq=0)
    )
    await failpoint("fork.copied")
    await packs.name_for(unit, snapshot_id, keys)
    await branches.insert(unit, cut, session_id=fork_id, begins_at=0, by=by)
    loaded = await session_states.lock(unit, [fork_id])
    state = loaded.states[fork_id]
    state.trace_id = current_trace_id()
    state.session.head_snapshot_id = snapshot_id
    made = await _session(unit, fork_id)
    state.tell(SessionCreated(title=made.title, agent=made.agent), project=True)
    state.tell(
        SessionForked(
            session_id=cut.session_id, snapshot_id=cut.snapshot_id, run_id=cut.run_id, by=by
        )
    )
    await session_saves.save(unit, loaded)
    return await _session(unit, fork_id)


async def _session(unit: Unit, session_id: UUID) -> Session:
    found = await session_store.get(unit.connection, session_id)
    if found is None:
        raise Stale(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
    return found
