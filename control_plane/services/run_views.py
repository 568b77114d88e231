"""Runs as they are: read, listed, waited for."""

import asyncio
from uuid import UUID

import msgspec

from chassis.errors import NotFound
from contracts.errors import Code
from contracts.runs import TERMINAL, Run, RunOutput, RunPage, RunState
from contracts.sessions import Todos
from contracts.usage import RunUsage
from control_plane.domain.cursors import Window
from control_plane.services.wakeups import Wakeups
from control_plane.store import model_calls, quotas
from control_plane.store import runs as store
from control_plane.store.database import Database
from control_plane.store.runs import RunFilter

SETTLED = TERMINAL | {RunState.WAITING}


class RunViews:
    def __init__(self, database: Database, wakeups: Wakeups, *, poll_seconds: float) -> None:
        self._database = database
        self._wakeups = wakeups
        self._poll = poll_seconds

    async def get(self, run_id: UUID) -> Run:
        async with self._database.reading() as connection:
            run = _known(await store.get(connection, run_id), run_id)
            if run.state is not RunState.QUEUED:
                return run
            limit = await quotas.waits_for(connection, run_id)
        return msgspec.structs.replace(run, waits_for_limit=limit)

    async def listed(
        self,
        *,
        projects: list[UUID],
        session_id: UUID | None,
        task_id: UUID | None,
        states: list[RunState],
        window: Window,
    ) -> RunPage:
        wanted = RunFilter(projects=projects, session_id=session_id, task_id=task_id, states=states)
        async with self._database.reading() as connection:
            return await store.listed(connection, wanted, window)

    async def output(self, run_id: UUID) -> RunOutput:
        async with self._database.reading() as connection:
            found = await store.output(connection, run_id)
        if found is None:
            raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
        return found

    async def todos(self, run_id: UUID) -> Todos:
        async with self._database.reading() as connection:
            return await store.todos(connection, run_id)

    async def usage(self, run_id: UUID) -> RunUsage:
        """What the agent said of itself, beside what the model gateway counted."""
        async with self._database.reading() as connection:
            reported = await store.usage(connection, run_id)
            counted = await model_calls.usage(connection, run_id)
        return RunUsage(run_id=run_id, entries=[*reported, *counted])

    async def settled(self, run_id: UUID, *, session_id: UUID, within: float) -> Run | None:
        """The run once it is over or waits for a person; None when the seconds have passed."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + within
        with self._wakeups.subscribe(session_id) as woken:
            while True:
                async with self._database.reading() as connection:
                    state = await store.state_of(connection, run_id)
                if state in SETTLED:
                    return await self.get(run_id)
                left = self._wakeups.left(ends)
                if left <= 0:
                    return None
                await woken.wait(min(left, self._poll))


def _known(run: Run | None, run_id: UUID) -> Run:
    if run is None:
        raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
    return run
