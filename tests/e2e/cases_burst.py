"""Fifty at once: each is ready or told when to come back, and nothing is left of any of them."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator

import httpx
import msgspec

from contracts.runs import Run, RunState
from tests.e2e.cases import Case, Scene
from tests.e2e.census import census, mounted
from tests.e2e.oracle import nothing_besides
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

MANY = 50
WAIT = 20
WITHIN = 300.0
QUEUE = 8
"""Runs that may wait: with the host's places fewer than the burst, so that some are refused."""
WARM = 4
LEAST_MET = 24
"""As many as the host has places."""
LOOK_SECONDS = 2.0
REFUSED = {429, 503}


class Burst:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.met: dict[str, str] = {}
        """Containers of the burst by their ids, and where the engine mounts their files."""

    def cases(self) -> list[Case]:
        return [Case(name="50 at once", play=self.fifty, deadline=3 * WITHIN)]

    async def fifty(self, scene: Scene) -> None:
        usual = self.stack.environments["control-plane"].get("BERTH_WAIT_QUEUE_LIMIT", "100")
        await nothing_besides(self.stack)
        before = await census(self.stack)
        await self.stack.set("control-plane", wait_queue_limit=str(QUEUE))
        await self.stack.set("executor-manager", warm_containers=str(WARM))
        try:
            await self._warm()
            began = time.monotonic()
            answers: Counter[int] = Counter()
            async with asyncio.timeout(WITHIN), self._looking():
                await asyncio.gather(
                    *(self._insist(scene, number, answers) for number in range(MANY))
                )
            scene.figures.add("fifty", (time.monotonic() - began) * 1000)
            assert answers[200] + answers[202] == MANY, answers
            assert sum(answers[status] for status in REFUSED), f"nobody was refused: {answers}"
            assert len(scene.visitor.sessions) == MANY, "a refused request left a session"
            for shadow in scene.visitor.shadows.values():
                await scene.visitor.succeeded(shadow, within=WITHIN)
            await nothing_besides(self.stack)
        finally:
            await self.stack.set("executor-manager", warm_containers="0")
            await self.stack.set("control-plane", wait_queue_limit=usual)
        await nothing_besides(self.stack)
        await self._gone(scene, before)

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
            assert answer.status_code in REFUSED, answer.text
            after = int(answer.headers["Retry-After"])
            assert after >= 1, answer.headers
            await asyncio.sleep(after)
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

    @contextlib.asynccontextmanager
    async def _looking(self) -> AsyncGenerator[None]:
        """Again and again, for most of them are removed before the last one is ready."""

        async def look() -> None:
            while True:
                await self._meet()
                await asyncio.sleep(LOOK_SECONDS)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])
        assert looking.cancelled(), looking.exception()

    async def _meet(self) -> None:
        """The engine's containers that there are now, by what the kernel calls their mounts."""
        for one in await self.stack.own_sessions():
            layers = (one.attrs.get("GraphDriver") or {}).get("Data") or {}
            self.met[str(one.id)] = layers.get("MergedDir", str(one.id))

    async def _gone(self, scene: Scene, before: set[str]) -> None:
        """Ended, they leave nothing: in the engine's lists, the kernel's tables, on the volumes."""
        for session in scene.visitor.sessions:
            await scene.api.stop_worker(session)
        left: list[str] = []

        async def nothing() -> bool:
            mounts = mounted([*self.met, *self.met.values()])
            left[:] = [*(await census(self.stack) - before), *(f"mount {one}" for one in mounts)]
            return not left

        try:
            await eventually(nothing, "the burst left something", within=120)
        except AssertionError as error:
            raise AssertionError(f"{error}: {left}") from error
        assert len(self.met) >= LEAST_MET, "the containers of the burst were not looked at"
