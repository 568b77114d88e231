"""A session that is abused, and its neighbour: the abused one is itself again afterwards, and the
neighbour never felt more than that the machine is busy.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from contracts.events import RunWarning
from contracts.runs import RunState
from contracts.session_workers import PatchSessionWorker
from contracts.tool_events import ToolResult
from tests.e2e.cases import Scene
from tests.e2e.stack import Stack
from tests.system.visitor import Shadow, script

SMALL = PatchSessionWorker(cpus=0.5, memory_mib=192, pids=77, disk_mib=64, keep_warm=True)
"""Never idle, however long the neighbour takes: what is done from outside needs its container."""
BEFORE = 3
LEAST = 3
"""Runs of the neighbour meanwhile."""
WITHIN = 90.0


class Abused:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    @asynccontextmanager
    async def abused(
        self, scene: Scene, limits: PatchSessionWorker = SMALL
    ) -> AsyncGenerator[UUID]:
        """A ready session with these limits; afterwards it works, and so did its neighbour."""
        session = (await scene.api.session()).id
        await scene.api.limits(session, limits)
        await self.works(scene, session)
        async with self.neighbour(scene):
            yield session
        await self.works(scene, session)
        await scene.api.limits(session, PatchSessionWorker(keep_warm=False))

    async def works(self, scene: Scene, session: UUID) -> float:
        """The milliseconds of a run that nothing happened to."""
        began = time.monotonic()
        shadow = await scene.visitor.send(script({"text": "here"}), session=session)
        run = await scene.visitor.succeeded(shadow, within=WITHIN)
        warned = [one.line for one in shadow.seen if isinstance(one.event, RunWarning)]
        assert (run.attempt, warned) == (1, []), shadow.kinds()
        return 1000 * (time.monotonic() - began)

    async def done(self, scene: Scene, session: UUID, command: str) -> Shadow:
        """Whatever the tool came to, the run has a success and its workspace is saved."""
        prompt = script({"shell": command}, {"text": "went on"})
        shadow = await scene.visitor.send(prompt, session=session)
        assert await shadow.closed(within=WITHIN) == RunState.SUCCEEDED, shadow.kinds()
        return shadow

    @asynccontextmanager
    async def neighbour(self, scene: Scene) -> AsyncGenerator[None]:
        """V13, by another session's short runs, before and meanwhile: each succeeds at once, in the
        container that it had. How long they took is told, not judged: others use this machine too.
        """
        session = (await scene.api.session()).id
        await self.works(scene, session)
        container = await self._container(session)
        for _ in range(BEFORE):
            scene.figures.add("neighbour_before", await self.works(scene, session))
        meanwhile, over = list[float](), asyncio.Event()

        async def run() -> None:
            while not over.is_set() or len(meanwhile) < LEAST:
                meanwhile.append(await self.works(scene, session))

        running = asyncio.create_task(run())
        try:
            yield
        finally:
            over.set()
            await running
        assert await self._container(session) == container, "the neighbour lost its container"
        for one in meanwhile:
            scene.figures.add("neighbour", one)

    async def _container(self, session: UUID) -> tuple[str, str]:
        """And since when it runs."""
        found = await self.engine.inspect(await self.engine.session(session))
        return found["Id"], found["State"]["StartedAt"]


def told(shadow: Shadow) -> str:
    """By its tools: what they were given to run is told as well, and proves nothing."""
    return "".join(one.event.output for one in shadow.seen if isinstance(one.event, ToolResult))
