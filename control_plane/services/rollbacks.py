"""A session goes back to one of its snapshots: what follows has its files and its conversation.

Nothing is deleted: the log, the runs and the snapshots stay listed, and a rollback can be rolled
back. It is refused while a run is live or waits to be. The worker is released first: it saves what
is in no snapshot yet, and stops. Meanwhile no lock is held; so what a person has seen is compared
again under the lock, and the head is moved only if nobody sent a message or rolled back since.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import current_trace_id
from contracts.branches import RollBack
from contracts.errors import Code
from contracts.session_events import SessionRolledBack
from contracts.sessions import Session
from contracts.sessions import SessionState as SessionLife
from contracts.snapshots import SnapshotKind
from control_plane.domain import line, worker_ends
from control_plane.domain.branches import Cut, Standing
from control_plane.domain.session_state import SessionState
from control_plane.services.forks import no_snapshot, require_whole
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.manifests import Manifests
from control_plane.services.wakeups import Wakeups
from control_plane.store import audit, branches, packs, session_saves, session_states
from control_plane.store import sessions as session_store
from control_plane.store import snapshots as snapshot_store
from control_plane.store.branches import Copy
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded

RELEASE_SECONDS = 60.0
"""For the worker to save and to stop; then the caller may ask again."""


@dataclass(frozen=True, slots=True)
class _Seen:
    standing: Standing
    stopping: bool
    """Its worker is still there, and was told to stop."""


class Rollbacks:
    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        manifests: Manifests,
        *,
        idempotency: Idempotency,
        poll_seconds: float,
        release_seconds: float = RELEASE_SECONDS,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._manifests = manifests
        self._idempotency = idempotency
        self._poll = poll_seconds
        self._release_seconds = release_seconds

    async def roll_back(
        self, ask: Ask, session_id: UUID, data: RollBack, *, by: UUID
    ) -> Once[Session]:
        """Raises Stale: `session_busy`, `session_archived`, `head_moved`, `worker_not_released`,
        `snapshot_damaged`; `snapshot_not_found`.
        """
        earlier = await self._idempotency.earlier(ask, Session)
        if earlier is not None:
            return earlier
        keys = await self._named(session_id, data.snapshot_id)
        seen = await self._released(session_id, data)
        await failpoint("rollback.released")

        async def work(unit: Unit) -> Session:
            return await _moved(unit, session_id, data, seen, keys, by=by)

        return await self._idempotency.once(ask, work, Session)

    async def _named(self, session_id: UUID, snapshot_id: UUID) -> list[str]:
        """The packs that it needs; nobody goes back to what cannot be restored."""
        async with self._database.reading() as connection:
            point = await snapshot_store.point(connection, session_id, snapshot_id)
        if point is None:
            raise no_snapshot(snapshot_id)
        require_whole(point)
        manifest = await self._manifests.read(point.manifest_key, point.manifest_sha256)
        return [pack.key for pack in manifest.packs]

    async def _released(self, session_id: UUID, data: RollBack) -> Standing:
        """What the session was when this began, once its worker is gone."""
        deadline = asyncio.get_running_loop().time() + self._release_seconds
        first: Standing | None = None
        asked = False
        with self._wakeups.subscribe(session_id) as woken:
            while True:
                async with self._database.unit() as unit:
                    seen = await _look(unit, session_id, data, asked=asked)
                if first is None:
                    first = seen.standing
                if not seen.stopping:
                    return first
                asked = True
                await failpoint("rollback.waits")
                left = self._wakeups.left(deadline)
                if left <= 0:
                    raise _not_released("it has not stopped yet: ask again")
                await woken.wait(min(self._poll, left))


async def _look(unit: Unit, session_id: UUID, data: RollBack, *, asked: bool) -> _Seen:
    loaded = await session_states.lock(unit, [session_id])
    state = await _idle(unit, loaded, session_id)
    if not asked:
        _require_head(state, data.expected_head)
    standing = await branches.standing(unit, session_id)
    if state.worker is None:
        return _Seen(standing, stopping=False)
    if asked and not state.worker.stopping:
        raise _not_released("it could not save: see its alert in the session's log")
    state.trace_id = current_trace_id()
    worker_ends.ask_to_stop(state)
    await session_saves.save(unit, loaded)
    return _Seen(standing, stopping=True)


async def _idle(unit: Unit, loaded: Loaded, session_id: UUID) -> SessionState:
    state = loaded.states.get(session_id)
    if state is None:
        raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
    if state.session.life is SessionLife.ARCHIVED:
        raise Stale(Code.SESSION_ARCHIVED, "un-archive the session to go back in it, or fork it")
    if not await session_store.line_is_empty(unit, session_id):
        raise Stale(Code.SESSION_BUSY, "cancel its runs, or wait for them, then roll it back")
    return state


def _require_head(state: SessionState, expected: UUID | None) -> None:
    head = state.session.head_snapshot_id
    if expected is not None and expected != head:
        raise Stale(Code.HEAD_MOVED, f"expected_head: the head is {head}", head=str(head))


async def _moved(
    unit: Unit,
    session_id: UUID,
    data: RollBack,
    seen: Standing,
    keys: list[str],
    *,
    by: UUID,
) -> Session:
    loaded = await session_states.lock(unit, [session_id])
    await failpoint("rollback.locked")
    state = await _idle(unit, loaded, session_id)
    _require_same(state, await branches.standing(unit, session_id), seen)
    cut = await branches.cut_at(unit, session_id, data.snapshot_id)
    if cut is None:
        raise no_snapshot(data.snapshot_id)
    await _withdraw_questions(unit, loaded, state, cut)
    former = state.session.head_snapshot_id
    kept = cut.type is SnapshotKind.ACKNOWLEDGED
    head = cut.snapshot_id if kept else new_id()
    state.session.head_snapshot_id = head
    state.trace_id = current_trace_id()
    told = state.tell(
        SessionRolledBack(
            snapshot_id=cut.snapshot_id, run_id=cut.run_id, former_head=former, by=by
        ),
        project=True,
    )
    await session_saves.save(unit, loaded)
    await branches.insert(unit, cut, session_id=session_id, begins_at=told.seq, by=by)
    if not kept:
        await _acknowledge(unit, cut, head, keys, seq=told.seq)
    await _audit(unit, cut, former, by=by)
    session = await session_store.get(unit.connection, session_id)
    if session is None:
        raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
    return session


def _require_same(state: SessionState, now: Standing, seen: Standing) -> None:
    if now != seen or state.worker is not None:
        raise Stale(Code.HEAD_MOVED, "it went on meanwhile: look at its history, then ask again")


async def _withdraw_questions(unit: Unit, loaded: Loaded, state: SessionState, cut: Cut) -> None:
    """Of runs that are left behind: an answer to them would go on where nobody stands."""
    for request_id, run_id in await branches.open_questions(unit, state.id, behind=cut.line):
        request = await session_states.load_request(unit, loaded, request_id)
        run = await session_states.load_run(unit, loaded, run_id)
        if request is not None and run is not None:
            line.withdraw(state, request, run)


async def _acknowledge(unit: Unit, cut: Cut, head: UUID, keys: list[str], *, seq: int) -> None:
    """A head is acknowledged: of a checkpoint, or of what was saved aside, there is one more."""
    copy = Copy(id=head, session_id=cut.session_id, epoch=cut.epoch, parent=cut.parent, seq=seq)
    await branches.copy_snapshot(unit, cut.snapshot_id, copy)
    await packs.name_for(unit, head, keys)


async def _audit(unit: Unit, cut: Cut, former: UUID | None, *, by: UUID) -> None:
    await audit.record(
        unit,
        cut.project_id,
        actor=by,
        action="session.roll_back",
        target=str(cut.session_id),
        detail={
            "snapshot_id": str(cut.snapshot_id),
            "former_head": None if former is None else str(former),
        },
    )


def _not_released(why: str) -> Stale:
    return Stale(Code.WORKER_NOT_RELEASED, why)
