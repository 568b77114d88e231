"""Model calls are booked at the source: open when they begin, closed once when they end.

A control plane that dies leaves its calls open; past their deadline the loop of any replica closes
them as cut, with what they would have cost at their start.
"""

import asyncio
from uuid import UUID

import asyncpg

from chassis.clock import Clock, SystemClock
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.models import ModelCallPage
from control_plane.domain.cursors import Window
from control_plane.store import model_calls as store
from control_plane.store.database import Database
from control_plane.store.model_calls import CallFilter, CallState, Closing, NewCall

PATIENCE = 2.0
"""Seconds that an answer's end waits until its call is booked."""
TRIES = 60
PAUSE = 1.0
STOP_SECONDS = 5.0
AT_ONCE = 200

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_log = get_logger()


class ModelCalls:
    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._closing: set[asyncio.Task[None]] = set()

    async def listed(
        self,
        *,
        projects: list[UUID],
        session_id: UUID | None,
        run_id: UUID | None,
        states: list[CallState],
        window: Window,
    ) -> ModelCallPage:
        wanted = CallFilter(projects=projects, session_id=session_id, run_id=run_id, states=states)
        async with self._database.reading() as connection:
            return await store.listed(connection, wanted, window)

    async def open(self, new: NewCall) -> None:
        async with self._database.unit() as unit:
            await store.insert(unit, new)
        await failpoint("model_calls.opened")

    async def close(self, call_id: UUID, closing: Closing) -> None:
        """Goes on by itself where the database is away: the numbers are nowhere else."""
        task = asyncio.create_task(self._close(call_id, closing))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.wait({task}, timeout=PATIENCE)

    async def stop(self) -> None:
        """What cannot be booked by then, the loop books."""
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def close_overdue(self) -> int:
        """One pass: how many it closed, in batches that are transactions of their own."""
        closed = 0
        while True:
            async with self._database.unit() as unit:
                batch = await store.close_overdue(unit, AT_ONCE)
                await failpoint("model_calls.overdue")
            closed += batch
            if batch < AT_ONCE:
                return closed

    async def _close(self, call_id: UUID, closing: Closing) -> None:
        for tried in range(1, TRIES + 1):
            try:
                async with self._database.unit() as unit:
                    closed = await store.close(unit, call_id, closing)
            except AWAY as error:
                _log.warning(
                    "model_call_unbooked", call=call_id, tried=tried, error=type(error).__name__
                )
                await self._clock.sleep(PAUSE)
            else:
                if not closed:
                    _log.warning("model_call_booked_before", call=call_id)
                return
