"""What sessions may reach: set by a project's owners; what was denied goes to the session's log."""

from uuid import UUID

import msgspec

from chassis.errors import BerthError
from chassis.telemetry import current_trace_id
from contracts.egress import AskedEgress, EgressPolicy, TellDenials
from contracts.errors import Code
from contracts.runs import LIVE
from control_plane.domain import egress as domain
from control_plane.domain.access import WorkerCaller
from control_plane.domain.session_state import RunRow, SessionState
from control_plane.store import audit, session_saves, session_states
from control_plane.store import egress as store
from control_plane.store.database import Database


class Egress:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: UUID) -> EgressPolicy:
        async with self._database.reading() as connection:
            return await store.of_project(connection, project_id)

    async def put(self, project_id: UUID, asked: AskedEgress, *, by: UUID) -> EgressPolicy:
        """Raises `validation_failed` that names the field; audited, where it changes anything."""
        policy = policy_of(asked)
        async with self._database.unit() as unit:
            if await store.lock_project(unit, project_id) == policy:
                return policy
            await store.set_project(unit, project_id, policy)
            await audit.record(
                unit,
                project_id,
                actor=by,
                action="egress.put",
                target=str(project_id),
                detail=msgspec.to_builtins(policy),
            )
        return policy

    async def tell(self, worker: WorkerCaller, told: TellDenials) -> None:
        """Each denial is an event, of the live run where there is one; a batch counts once."""
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [worker.session_id])
            if not await store.take_denials(unit, worker.id, told.batch_id):
                return
            state = loaded.states[worker.session_id]
            state.trace_id = current_trace_id()
            run = _live_run(state, worker.id)
            for denial in told.denials:
                state.tell(domain.denied(denial), run=run)
            await session_saves.save(unit, loaded)


def policy_of(asked: AskedEgress, *, within: str = "") -> EgressPolicy:
    """`within`: the field that it stands in. Raises `validation_failed`."""
    try:
        return domain.policy_of(asked)
    except domain.WrongEgress as error:
        field = f"{within}.{error.field}" if within else error.field
        raise BerthError(
            Code.VALIDATION,
            f"{field}: expected {error.expected}",
            field=field,
            expected=error.expected,
        ) from error


def _live_run(state: SessionState, worker_id: UUID) -> RunRow | None:
    run = state.head
    if run is None or run.worker_id != worker_id or run.state not in LIVE:
        return None
    return run
