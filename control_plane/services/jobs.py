"""Jobs: passes over many workers or sessions that somebody asked for, with counts.

A job's members are rows, written with it: what there is at that moment. Any replica takes members
whose sessions nobody holds, acts on them and says so in one transaction; a replica that dies half-
way leaves the rest to the others. A job is done when every member has ended; what has not by its
deadline is told as `timed_out`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import asyncpg

from chassis.errors import NotFound
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.jobs import Job, JobKind, JobPage
from control_plane.domain.cursors import Window
from control_plane.domain.jobs import Member
from control_plane.services.cleanup import remove_stopped, stop_idle
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.reconcile import Reconcile
from control_plane.store import audit, session_saves, session_states
from control_plane.store import jobs as store
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded

BATCH = 20
"""Sessions that one transaction holds, at most."""
OVERLOOK = 8
"""Members looked at for each one wanted: what others hold is passed over."""
KEPT_DAYS = 7
FORGOTTEN_AT_ONCE = 200

AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)
"""The database is not there: no member is to blame."""

Action = Callable[[Unit, Loaded, Sequence[Member]], Awaitable[dict[int, str]]]

_log = get_logger()


class Jobs:
    """`deadline` and `save_overdue` are in seconds."""

    def __init__(
        self,
        database: Database,
        *,
        idempotency: Idempotency,
        reconcile: Reconcile,
        deadline: float,
        save_overdue: float,
    ) -> None:
        self._database = database
        self._idempotency = idempotency
        self._deadline = deadline
        self._save_overdue = save_overdue
        self._actions: Mapping[JobKind, Action] = {
            JobKind.CLEANUP_IDLE: stop_idle,
            JobKind.CLEANUP_STOPPED: remove_stopped,
            JobKind.RECONCILE_RUNS: reconcile.runs,
            JobKind.RECONCILE_SYNC: reconcile.saves,
        }

    async def create(self, ask: Ask, kind: JobKind, *, project_id: UUID, by: UUID) -> Once[Job]:
        """It takes up what there is now; audited."""
        new = store.NewJob(
            id=new_id(),
            project_id=project_id,
            kind=kind,
            by=by,
            seconds=self._deadline,
            save_overdue=self._save_overdue,
        )

        async def work(unit: Unit) -> Job:
            await store.insert(unit, new)
            await audit.record(
                unit, project_id, actor=by, action="job.create", target=str(new.id),
                detail={"kind": kind.value},
            )  # fmt: skip
            return _existing(new.id, await store.get(unit.connection, new.id))

        return await self._idempotency.once(ask, work, Job, status=202)

    async def get(self, job_id: UUID) -> Job:
        async with self._database.reading() as connection:
            return _existing(job_id, await store.get(connection, job_id))

    async def listed(self, projects: list[UUID], window: Window) -> JobPage:
        async with self._database.reading() as connection:
            return await store.listed(connection, projects, window)

    async def run_once(self) -> int:
        """Acts on every member whose session is free; answers on how many."""
        acted = 0
        while batch := await self._act_on_some():
            acted += batch
        async with self._database.unit() as unit:
            await store.advance(unit)
        return acted

    async def forget(self) -> int:
        """One pass: how many it forgot, in batches that are transactions of their own."""
        forgotten = 0
        while True:
            async with self._database.unit() as unit:
                batch = await store.forget(unit, days=KEPT_DAYS, limit=FORGOTTEN_AT_ONCE)
            forgotten += batch
            if batch < FORGOTTEN_AT_ONCE:
                return forgotten

    async def _act_on_some(self) -> int:
        async with self._database.reading() as connection:
            found = await store.pending(connection, BATCH * OVERLOOK)
        await failpoint("jobs.candidates")
        return await self._act_or_fail(found) if found else 0

    async def _act_or_fail(self, members: Sequence[Member]) -> int:
        """One session that fails keeps no other waiting: then each is tried alone."""
        try:
            return await self._act(members)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 # told of the member that it belongs to
            sessions = list({member.session_id for member in members})
            if len(sessions) == 1:
                _log.exception("job_member_failed", session=sessions[0])
                return await self._fail(members, type(error).__name__)
        acted = 0
        for session_id in sessions:
            acted += await self._act_or_fail([m for m in members if m.session_id == session_id])
        return acted

    async def _act(self, members: Sequence[Member]) -> int:
        async with self._database.unit() as unit:
            wanted = list(dict.fromkeys(member.session_id for member in members))
            loaded = await session_states.lock_free(unit, wanted, BATCH)
            await failpoint("jobs.locked")
            mine = [member for member in members if member.session_id in loaded.states]
            mine = await store.still_pending(unit, mine)
            outcomes: dict[int, str] = {}
            for kind, action in self._actions.items():
                if of_kind := [member for member in mine if member.kind is kind]:
                    outcomes |= await action(unit, loaded, of_kind)
            await session_saves.save(unit, loaded)
            await store.settle(unit, outcomes)
            await failpoint("jobs.saved")
        return len(outcomes)

    async def _fail(self, members: Sequence[Member], detail: str) -> int:
        async with self._database.unit() as unit:
            left = await store.still_pending(unit, members)
            await store.settle(unit, {member.id: "failed" for member in left}, detail=detail)
        return len(left)


def _existing(job_id: UUID, found: Job | None) -> Job:
    if found is None:
        raise NotFound(Code.JOB_NOT_FOUND, f"there is no job {job_id}")
    return found
