"""On the stack's own engine: each part killed mid-stream and in a tool call, the
database and the object store away during a save.
"""

import asyncio
from uuid import UUID

from tests.e2e.cases import Case, Scene
from tests.e2e.engine import threaded
from tests.e2e.grounds import Ground
from tests.e2e.snapshots import head
from tests.e2e.stack import LEASE, Stack
from tests.e2e.strikes import OVER, Strike, Striker
from tests.system.oracle import quiet
from tests.system.visitor import Shadow, script

SEED = 4711
AWAY = 4.0
"""Seconds that the database or the store is gone: the saves begin and end in them."""
BLOB = 6 * 1024 * 1024
DEADLINE = 300.0


async def executor(ground: Ground, struck: dict[UUID, str]) -> None:
    for session in struck:
        await ground.kill9(await ground.engine.session(session), "executor")


async def container(ground: Ground, struck: dict[UUID, str]) -> None:
    for session in struck:
        await ground.engine.kill9(await ground.engine.session(session))


async def relay(ground: Ground, _struck: dict[UUID, str]) -> None:
    await ground.kill9_service("relay", "executor_manager.relay")


async def manager(ground: Ground, _struck: dict[UUID, str]) -> None:
    await ground.kill9_service("executor-manager", "executor_manager")


STRIKES = [
    Strike(name="kill -9 of the executor", act=executor, attempt=2),
    Strike(name="kill -9 of the container", act=container, attempt=2),
    Strike(name="kill -9 of the relay", act=relay, attempt=1),
    Strike(name="kill -9 of the manager: its containers are adopted", act=manager, attempt=1),
]


class Faults:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.striker = Striker(stack, Ground("main", stack.engine, stack.project))

    def cases(self) -> list[Case]:
        replica = Strike(name="kill -9 of one of two control planes", act=self.replica, attempt=1)
        strikes = [*STRIKES, replica]
        return [
            *(self.striker.case(one, seed=SEED + n) for n, one in enumerate(strikes)),
            Case(
                name="fault: the database away during a save",
                play=self.without_database,
                deadline=DEADLINE,
            ),
            Case(
                name="fault: the object store away during a save",
                play=self.without_store,
                deadline=DEADLINE,
            ),
        ]

    async def replica(self, _ground: Ground, _struck: dict[UUID, str]) -> None:
        """Struck with both replicas serving; the killed one is started again at once."""
        first, *others = await self.stack.service("control-plane")
        assert others, "there is only one control plane"
        await self.stack.engine.kill9(first)
        await threaded(first.start)
        await self.stack.healthy("control-plane")

    async def without_database(self, scene: Scene) -> None:
        await self._saving_without(scene, "postgres")

    async def without_store(self, scene: Scene) -> None:
        await self._saving_without(scene, "s3")

    async def _saving_without(self, scene: Scene, service: str) -> None:
        prompt = script({"shell": f"head -c {BLOB} /dev/urandom | tee blob | sha256sum > sum"})
        shadows = [await scene.visitor.send(prompt) for _ in range(3)]
        await asyncio.gather(*(self._written(shadow) for shadow in shadows))
        container = await self.stack.one(service)
        await self.stack.engine.kill9(container)
        await asyncio.sleep(AWAY)  # the outage itself is the matter of this case
        await threaded(container.start)
        await self.stack.healthy(service)
        await self.stack.open_store()
        for shadow in shadows:
            run = await scene.visitor.succeeded(shadow, within=OVER)
            assert not run.unsaved
            saved = await head(self.stack, run.session_id)
            assert saved is not None
            assert len(saved.files["blob"]) == BLOB
        await quiet(self.stack)

    async def _written(self, shadow: Shadow) -> None:
        """The turn is over with it: what follows is the save."""

        await shadow.kind("tool.result", within=60 + LEASE)
