"""The whole of it, on a stack of our own: from nothing, through everything, to nothing."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from tests.agents.model import ModelServer
from tests.agents.upstreams import set_up
from tests.e2e.cases import Case, Figures, Player, Report
from tests.e2e.cases_abuse import Abuse
from tests.e2e.cases_agents import AgentCases
from tests.e2e.cases_burst import Burst
from tests.e2e.cases_code import Code
from tests.e2e.cases_history import History
from tests.e2e.cases_hosts import HostCases
from tests.e2e.cases_layers import Layers
from tests.e2e.cases_lifecycle import Lifecycle
from tests.e2e.cases_live_files import LiveFiles
from tests.e2e.cases_secrets import Secrets, prepare
from tests.e2e.cases_trees import Trees
from tests.e2e.cases_verify import Verify
from tests.e2e.client import Client, client
from tests.e2e.earlier import alone
from tests.e2e.engine import Engine
from tests.e2e.faults import Faults
from tests.e2e.hosts import Hosts
from tests.e2e.isolation import isolation_cases
from tests.e2e.leftovers import left_behind
from tests.e2e.logs import recorded_right
from tests.e2e.oracle import sound
from tests.e2e.repositories import Repositories
from tests.e2e.stack import Stack, scratch

PARTS = ("outside", "lifecycle", "workspaces", "isolation", "abuse", "agents", "faults", "hosts")
AT_ONCE = 4
AGENTS_AT_ONCE = 2
AGENTS_IMAGE = "berth-executor-agents:latest"
SOCKET = "unix:///var/run/docker.sock"


def workspace_cases(stack: Stack, host: Repositories) -> list[Case]:
    return [
        *LiveFiles(stack).cases(),
        *Trees(stack).cases(),
        *History(stack).cases(),
        *Code(stack, host).cases(),
        *Verify(stack).cases(),
        *Layers(stack).cases(),
    ]


class Whole:
    def __init__(
        self, report: Report, figures: Figures, outside: list[Case], parts: Sequence[str]
    ) -> None:
        self.report = report
        self.figures = figures
        self.outside = outside
        self.parts = parts
        self.kept: Path | None = None
        self.agents: AgentCases | None = None
        self.repositories: Repositories | None = None

    async def play(self) -> dict[str, Any]:
        """What is told besides the cases."""
        engine = Engine(SOCKET)
        try:
            async with alone(engine, self.report.say):
                return await self._play(engine)
        finally:
            engine.close()

    async def _play(self, engine: Engine) -> dict[str, Any]:
        async with scratch() as folder:
            stack = Stack(folder, engine)
            hosts = Hosts(folder) if "hosts" in self.parts else None
            self._bring_agents(stack, folder)
            prepare(stack)
            self._bring_repositories(stack, folder)
            try:
                await self._start(stack, hosts)
                await self.drive(stack, hosts)
            except Exception as error:  # noqa: BLE001 - told, and then all is taken down
                self.report.failed("the stack", time.monotonic() - self.report.began, error)
            finally:
                await self.keep_logs(stack, hosts)
                async with self.step("everything is taken down"):
                    await self._end(stack, hosts)
        places = [folder, *(hosts.places if hosts else [])]
        left = await left_behind(
            engine,
            project=stack.project,
            managers=stack.managers,
            containers=stack.sessions,
            places=places,
        )
        if left:
            self.report.failed("nothing is left behind", 0.0, AssertionError("; ".join(left)))
        agents = {"agents": self.agents.found} if self.agents else {}
        logs = {"logs": str(self.kept)} if self.kept else {}
        return {"left_behind": len(left), **agents, **logs}

    def _bring_agents(self, stack: Stack, folder: Path) -> None:
        """Their image, for every session, and a model for them."""
        if "agents" in self.parts:
            model = ModelServer(folder / "model")
            model.beside(stack)
            stack.variables["BERTH_EXECUTOR_IMAGE"] = AGENTS_IMAGE
            self.agents = AgentCases(stack, model)

    def _bring_repositories(self, stack: Stack, folder: Path) -> None:
        if "workspaces" in self.parts:
            self.repositories = Repositories(folder / "repositories")
            self.repositories.beside(stack)

    async def _start(self, stack: Stack, hosts: Hosts | None) -> None:
        if hosts is not None:
            async with self.step("two hosts are up"):
                await hosts.up(stack)
        async with self.step("the stack is up, from nothing"), asyncio.TaskGroup() as group:
            if hosts is not None:
                # not beside the cases: copying images takes the whole machine
                group.create_task(hosts.load(stack.engine))
            await stack.up()
            await stack.open_store()

    async def _end(self, stack: Stack, hosts: Hosts | None) -> None:
        """Both, whatever becomes of the first."""
        try:
            await stack.down()
        finally:
            if hosts is not None:
                await hosts.down()

    async def drive(self, stack: Stack, hosts: Hosts | None) -> None:
        async with client(stack.url, stack.key) as api:
            await self._quiet(stack, api)
            await self._real_agents(stack, api)
            await self._faults(stack, api)
            if hosts is not None:
                player = Player(api, self.figures, self.report, recorded_right(stack))
                await player.play(HostCases(stack, hosts).cases())

    async def _quiet(self, stack: Stack, api: Client) -> None:
        """What disturbs nobody, several at once."""
        lifecycle = Lifecycle(stack)
        player = Player(api, self.figures, self.report, recorded_right(stack))
        cases = [
            *self._of("outside", self.outside),
            *self._of("lifecycle", lifecycle.quiet()),
            *(workspace_cases(stack, self.repositories) if self.repositories else []),
            *self._of("isolation", isolation_cases(stack)),
        ]
        await player.play(cases, at_once=AT_ONCE)
        await player.play(self._of("lifecycle", lifecycle.alone()))
        # one at a time: each looks at what becomes of its neighbour, and of the whole stack
        strict = Player(api, self.figures, self.report, sound(stack))
        await strict.play(self._of("isolation", Secrets(stack).cases()))
        await strict.play(self._of("abuse", Abuse(stack).cases()))
        await strict.play(self._of("lifecycle", Burst(stack).cases()))

    async def _real_agents(self, stack: Stack, api: Client) -> None:
        if self.agents is not None:
            await set_up(api, self.agents.model)
            player = Player(api, self.figures, self.report, recorded_right(stack))
            await player.play(self.agents.cases(), at_once=AGENTS_AT_ONCE)

    async def _faults(self, stack: Stack, api: Client) -> None:
        """One at a time, each on several runs."""
        if {"faults", "hosts"} & {*self.parts}:
            async with self.step("two control planes"):
                await stack.scale("control-plane", 2)
        if "faults" in self.parts:
            player = Player(api, self.figures, self.report, sound(stack))
            await player.play(Faults(stack).cases())

    def _of(self, part: str, cases: list[Case]) -> list[Case]:
        return cases if part in self.parts else []

    async def keep_logs(self, stack: Stack, hosts: Hosts | None) -> None:
        if not self.report.ok:
            self.kept = Path(tempfile.mkdtemp(prefix=f"{stack.project}-logs-"))
            await stack.keep_logs(self.kept)
            if hosts is not None:
                await hosts.keep_logs(self.kept)
            self.report.say(f"the services' logs are kept in {self.kept}")

    @contextlib.asynccontextmanager
    async def step(self, name: str) -> AsyncGenerator[None]:
        began = time.monotonic()
        yield
        self.report.say(f"      {name} ({time.monotonic() - began:.1f} s)")
