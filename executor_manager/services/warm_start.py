"""The start of a container that waits for a session: made, prepared, paused."""

import asyncio
from dataclasses import dataclass, replace

from chassis.failpoints import failpoint
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerSpec,
    ContainerState,
)
from executor_manager.containers.errors import BackendError, StartFailed, Timeout

WARM = "BERTH_WARM"
LOOK_SECONDS = 0.02
ALIVE_SECONDS = 0.5
PAUSES = 5


@dataclass(frozen=True, slots=True)
class WarmStart:
    backend: ContainerBackend
    spec: ContainerSpec

    @property
    def name(self) -> str:
        return self.spec.identity.name

    async def run(self) -> None:
        """Raises `BackendError`. However it ends, what was made is the caller's to remove."""
        environment = {**self.spec.environment, WARM: "true"}
        made = await self.backend.adopt_or_create(replace(self.spec, environment=environment))
        await failpoint("warm.created")
        await self.backend.start(self.name)
        await self._until_prepared(made)
        await self._pause()

    async def _until_prepared(self, container: Container) -> None:
        """It binds its socket when it has loaded all that it will need."""
        socket = self.backend.address(container)
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while not socket.exists():
            if loop.time() - looked > ALIVE_SECONDS:
                await self._check_alive()
                looked = loop.time()
            await asyncio.sleep(LOOK_SECONDS)

    async def _check_alive(self) -> None:
        try:
            found = await self.backend.get(self.name)
            if found is not None and found.state is ContainerState.RUNNING:
                return
            printed = (await self.backend.logs(self.name, 1000)).decode(errors="replace")
        except Timeout:
            return  # nothing is known
        raise StartFailed(f"it ended: {printed[-500:]}")

    async def _pause(self) -> None:
        """A kernel that has much to do may not freeze all of its processes at once."""
        for left in reversed(range(PAUSES)):
            try:
                paused = await self.backend.pause(self.name)
            except BackendError:
                if not left:
                    raise
                await asyncio.sleep(ALIVE_SECONDS)
            else:
                if paused.state is not ContainerState.PAUSED:
                    raise StartFailed(f"it is {paused.state} instead of paused")
                return
