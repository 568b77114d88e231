"""One fault on six runs at once, three in their text and three in a tool call; the oracle after it.

Every run has a session and a container of its own. All are under way when it strikes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from contracts.events import RunRetrying
from contracts.runs import Run
from tests.e2e.cases import Case, Scene
from tests.e2e.grounds import Ground
from tests.e2e.stack import LEASE, Stack
from tests.e2e.voyages import MOMENTS, Voyage, arrived
from tests.fixtures.deadlines import eventually
from tests.system.oracle import quiet
from tests.system.visitor import Shadow

SEEDS = 3
LONG = 24.0
"""Seconds of those that must not have ended when it strikes, late as the others may begin."""
UNDER_WAY = 90.0
OVER = LEASE + 90.0

Act = Callable[[Ground, dict[UUID, str]], Awaitable[None]]
"""Given the struck sessions and their containers' ids."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    name: str
    act: Act
    attempt: int
    """That its runs succeed in; 1: the fault cost nobody anything."""
    more: int = 0
    """Attempts that may be lost besides, where a manager comes back later than a lease lasts."""
    epochs: int = 1
    same_container: bool = True
    deadline: float = 300.0


@dataclass(frozen=True)
class Striker:
    stack: Stack
    ground: Ground

    def case(self, strike: Strike, *, seed: int) -> Case:
        async def play(scene: Scene) -> None:
            await self.strike(scene, strike, seed)

        return Case(name=f"fault: {strike.name}", play=play, deadline=strike.deadline)

    async def strike(self, scene: Scene, strike: Strike, seed: int) -> None:
        long = LONG if strike.attempt > 1 else Voyage.long
        voyages = [Voyage(moment, seed + n, long) for moment in MOMENTS for n in range(SEEDS)]
        shadows = await asyncio.gather(*(self._sail(scene, voyage) for voyage in voyages))
        sessions = {scene.visitor.session_of(shadow): shadow for shadow in shadows}
        engine = self.ground.engine
        before = {session: str((await engine.session(session)).id) for session in sessions}
        await strike.act(self.ground, before)
        runs = await asyncio.gather(
            *(arrived(scene, self.stack, shadow, within=OVER) for shadow in shadows)
        )
        allowed = range(strike.attempt, strike.attempt + strike.more + 1)
        wrong = {run.id: run.attempt for run in runs if run.attempt not in allowed}
        why = [_retries(shadow) for shadow in shadows]
        assert not wrong, f"not in an attempt of {allowed}: {wrong} {why}"
        await asyncio.gather(*(self._as_before(run, strike, before) for run in runs))
        await quiet(self.stack)
        await self._nothing_besides(set(sessions))

    async def _sail(self, scene: Scene, voyage: Voyage) -> Shadow:
        shadow = await scene.visitor.send(voyage.prompt)
        try:
            await shadow.until(voyage.under_way, within=UNDER_WAY)
        except AssertionError as error:
            raise AssertionError(f"before it struck: {error}; {_retries(shadow)}") from error
        return shadow

    async def _as_before(self, run: Run, strike: Strike, before: dict[UUID, str]) -> None:
        rows = await self.stack.fetch(
            "SELECT epoch FROM session_workers WHERE session_id = $1 ORDER BY 1", run.session_id
        )
        epochs = [row["epoch"] for row in rows]
        assert len(epochs) <= strike.epochs, f"{run.session_id} has epochs {epochs}"
        if strike.same_container:
            found = await self.ground.engine.sessions(run.session_id)
            ids = [str(one.id) for one in found]
            assert set(ids) <= {before[run.session_id]}, "another container than before"

    async def _nothing_besides(self, sessions: set[UUID]) -> None:
        """No container that no living worker has."""

        async def tidy() -> bool:
            rows = await self.stack.fetch("SELECT id FROM session_workers WHERE removed_at IS NULL")
            living = {str(row["id"]) for row in rows}
            found = [
                container
                for session in sessions
                for container in await self.ground.engine.sessions(session)
            ]
            left[:] = [one.name for one in found if one.labels["berth.worker"] not in living]
            return not left

        left: list[object] = []
        try:
            await eventually(tidy, "V7: containers of nobody")
        except AssertionError as error:
            raise AssertionError(f"{error}: {left}") from error


def _retries(shadow: Shadow) -> list[str]:
    found = [one.event for one in shadow.seen if isinstance(one.event, RunRetrying)]
    return [f"{one.reason}: {one.detail}" for one in found]
