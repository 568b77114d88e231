"""Where sessions live: an engine, and the manager and relay that serve them there."""

from dataclasses import dataclass

from docker.models.containers import Container

from tests.e2e.engine import Engine
from tests.e2e.stack import PROJECT_LABEL, SERVICE_LABEL
from tests.fixtures.deadlines import eventually

KILL = """
import os, signal, sys
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        try:
            words = open("/proc/" + name + "/cmdline").read().split("\\0")
        except OSError:
            continue
        if sys.argv[1] in words and "-c" not in words:
            print(name, flush=True)
            os.kill(int(name), signal.SIGKILL)
"""
ENDED_WITH_IT = 128 + 9
"""Of one inside whose container ended, for the first process of it was the target."""


@dataclass
class Ground:
    name: str
    engine: Engine
    project: str
    """Of the compose project that manager and relay belong to there."""

    async def service(self, name: str) -> Container:
        labels = (f"{PROJECT_LABEL}={self.project}", f"{SERVICE_LABEL}={name}")
        (found,) = await self.engine.containers(*labels)
        return found

    async def kill9(self, container: Container, module: str, *, uid: int = 0) -> None:
        """The process of that module, by one inside: whoever keeps it starts it again."""
        done = await self.engine.run(container, "python3", "-c", KILL, module, uid=uid)
        assert done.code in {0, ENDED_WITH_IT}, done.output
        assert done.output.strip(), f"{container.name} runs no {module}"

    async def kill9_service(self, name: str, module: str) -> None:
        container = await self.service(name)
        before = (await self.engine.inspect(container))["State"]["StartedAt"]
        await self.kill9(container, module)

        async def back() -> bool:
            state = (await self.engine.inspect(container))["State"]
            healthy = state["Health"]["Status"] == "healthy"
            return state["StartedAt"] != before and state["Running"] and healthy

        await eventually(back, f"{name} does not come back", within=60)
