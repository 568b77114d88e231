"""Fifty at once: each is ready or told when to come back, and nothing is left of any of them."""

import asyncio
import time
from collections import Counter

import httpx
import msgspec

from contracts.runs import Run, RunState
from tests.e2e.cases import Case, Scene
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

MANY = 50
WAIT = 20
WITHIN = 240.0
QUEUE = 30
"""Runs that may wait: the burst goes beyond it."""
WARM = 4


class Burst:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def cases(self) -> list[Case]:
        return [Case(name="50 at once", play=self.fifty, deadline=2 * WITHIN)]

    async def fifty(self, scene: Scene) -> None:
        await self.stack.set("control-plane", wait_queue_limit=str(QUEUE))
        await self.stack.set("executor-manager", warm_containers=str(WARM))
        try:
            await self._warm()
            began = time.monotonic()
            answers: Counter[int] = Counter()
            async with asyncio.timeout(WITHIN):
                await asyncio.gather(
                    *(self._insist(scene, number, answers) for number in range(MANY))
                )
            scene.figures.add("fifty", (time.monotonic() - began) * 1000)
            assert answers[200] + answers[202] == MANY, answers
            sessions = scene.visitor.sessions
            assert len(sessions) == MANY, "a refused request left a session"
            for shadow in scene.visitor.shadows.values():
                await scene.visitor.succeeded(shadow, within=WITHIN)
            await self._one_container_each()
        finally:
            await self.stack.set("executor-manager", warm_containers="0")
            await self.stack.set("control-plane", wait_queue_limit="100")
        await self._one_container_each()

    async def _insist(self, scene: Scene, number: int, answers: Counter[int]) -> None:
        """As a client should: what is refused is asked again when it was told to, not before."""
        body = {"text": script({"text": f"burst {number}"}), "agent": "scripted"}
        headers = {"Prefer": f"wait={WAIT}", "Idempotency-Key": f"burst-{number}-{id(scene)}"}
        timeout = httpx.Timeout(WAIT + 30)
        while True:
            answer = await scene.api.raw(
                "POST", "/api/v1/runs", json=body, headers=headers, timeout=timeout
            )
            answers[answer.status_code] += 1
            if answer.status_code in {200, 202}:
                break
            assert answer.status_code in {429, 503}, answer.text
            await asyncio.sleep(int(answer.headers["Retry-After"]))
        run = msgspec.json.decode(answer.content, type=Run)
        scene.visitor.follow(run)
        if answer.status_code == 200:
            assert run.state is RunState.SUCCEEDED, run
        else:
            assert int(answer.headers["Retry-After"]) > 0

    async def _warm(self) -> None:
        async def ready() -> bool:
            own = await self.stack.own_sessions()
            return sum(one.status == "paused" for one in own) == WARM

        await eventually(ready, "no warm containers", within=60)

    async def _one_container_each(self) -> None:
        """What the engine has is what the database says, those that wait beside it."""

        async def agree() -> bool:
            own = await self.stack.own_sessions()
            waiting = sum(one.status == "paused" for one in own)
            known = await self.stack.value(
                "SELECT count(*) FROM session_workers WHERE removed_at IS NULL"
            )
            return len(own) - waiting == known

        await eventually(agree, "containers and workers are not the same", within=90)
