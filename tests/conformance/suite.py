"""All of it, on a stack of our own: from nothing, each agent alone, all of them together."""

import asyncio
import contextlib
import json
import tempfile
import time
import tomllib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from docker.models.containers import Container

from tests.agents.dialects import DIALECTS
from tests.agents.model import ModelServer
from tests.agents.upstreams import set_up
from tests.conformance import (
    checks_cancel,
    checks_errors,
    checks_live,
    checks_permission,
    checks_talk,
)
from tests.conformance.crowd import crowd
from tests.conformance.player import Player
from tests.conformance.report import Report
from tests.conformance.together import LATE, MOVED, RESTART, Moving
from tests.conformance.trial import Bench, Check, Trial
from tests.conformance.usage import ledger_is_booked, usage
from tests.conformance.without import Quirk, image_without
from tests.e2e.client import client
from tests.e2e.earlier import alone
from tests.e2e.engine import Engine, threaded
from tests.e2e.hosts import Hosts
from tests.e2e.leftovers import left_behind
from tests.e2e.stack import Stack, scratch
from tests.system.visitor import Visitor

SOCKET = "unix:///var/run/docker.sock"
IMAGE = "berth-executor-agents:latest"
SERVICES = "berth:latest"
HERE = Path(__file__).parent
INTRODUCE = (HERE / "introduce.py").read_text()
AGENTS_AT_ONCE = 2
ERRORS_AT_ONCE = 3
PARK_AFTER = 20
IDLE_AFTER = 90
ALONE: list[Check] = [
    *checks_talk.TALK,
    *checks_permission.PERMISSION,
    *checks_cancel.CANCEL,
    *checks_live.LIVE,
]
USAGE = Check(name="usage equal to the ledger", play=usage, deadline=90)
ORDER = [
    *(check.name for check in (*ALONE, *checks_errors.ERRORS)),
    *LATE.looks, *RESTART.looks, *MOVED, USAGE.name, "log in order",
]  # fmt: skip
"""Of the table's rows."""


def lacks() -> dict[str, dict[str, str]]:
    return tomllib.loads((HERE / "lacks.toml").read_text())


class Suite:
    def __init__(
        self,
        report: Report,
        *,
        agents: list[str],
        only: str,
        image: str = IMAGE,
        services: str = SERVICES,
        without: Quirk | None,
    ) -> None:
        """`agents`: of those that the image has; none: all of them."""
        self.report = report
        self.image = image
        self.services = services
        self.agents = agents
        self.player = Player(report=report, only=only)
        self.without = without
        self.introduced: dict[str, Any] = {}
        self.kept: Path | None = None

    async def play(self) -> None:
        engine = Engine(SOCKET)
        try:
            async with alone(engine, self.report.say):
                await self._play(engine)
        finally:
            engine.close()

    async def _play(self, engine: Engine) -> None:
        async with scratch() as folder:
            stack = Stack(folder, engine)
            hosts = Hosts(folder) if any(map(self.player.chosen, MOVED)) else None
            model = ModelServer(folder / "model", checks_live.scenario())
            try:
                image = await image_without(engine, self.image, self.without)
                self.introduced = await self._introduced(engine, image)
                await self._start(stack, hosts, model, image)
                async with client(stack.url, stack.key) as api:
                    await set_up(api, model)
                    bench = Bench(
                        stack=stack, api=api, model=model, image=image, introduced=self.introduced
                    )
                    await self._drive(bench, hosts)
            except Exception as error:  # noqa: BLE001 - told, and then all is taken down
                self._failed("the stack", error)
            finally:
                await self._end(stack, hosts, model)
        places = [folder, *(hosts.places if hosts else [])]
        left = await left_behind(
            engine,
            project=stack.project,
            managers=stack.managers,
            containers=stack.sessions,
            places=places,
        )
        if left:
            self._failed("nothing is left behind", AssertionError("; ".join(left)))

    def _failed(self, what: str, error: BaseException) -> None:
        seconds = time.monotonic() - self.report.began
        self.report.told("all", what, "failed", seconds=seconds, why=str(error)[:600])
        self.report.explain(error)

    async def _introduced(self, engine: Engine, image: str) -> dict[str, Any]:
        """Asked of a container of the image alone."""

        def start() -> Container:
            return engine.client.containers.run(
                image, ["sleep", "600"], user="10001:10001", detach=True, init=True,
                network_mode="none", tmpfs={"/tmp": "exec"}, labels={"berth.role": "conformance"},
            )  # fmt: skip

        async with self._step("each agent introduced itself"):
            container = await threaded(start)
            try:
                done = await engine.run(container, "python3", "-c", INTRODUCE)
            finally:
                await threaded(container.remove, force=True, v=True)
            assert done.code == 0, done.output
            found: dict[str, Any] = json.loads(done.output)
        for name, answer in found.items():
            if "missing" in answer:
                self.report.say(f"      {name} is not in the image: {answer['missing']}")
        return {name: answer for name, answer in found.items() if "missing" not in answer}

    async def _start(
        self, stack: Stack, hosts: Hosts | None, model: ModelServer, image: str
    ) -> None:
        if hosts is not None:
            async with self._step("two hosts are up"):
                await hosts.up(stack)
        stack.variables |= {
            "BERTH_IMAGE": self.services,
            "BERTH_EXECUTOR_IMAGE": image,
            "MODEL_IMAGE": image,
        }
        model.beside(stack)
        stack.environments["control-plane"] |= {
            "BERTH_PARK_AFTER_SECONDS": str(PARK_AFTER),
            "BERTH_IDLE_AFTER_SECONDS": str(IDLE_AFTER),
        }
        stack.environments["executor-manager"]["BERTH_DEFAULT_MEMORY_MIB"] = "4096"
        async with self._step("the stack is up, from nothing"):
            await stack.up()
            await stack.open_store()

    async def _end(self, stack: Stack, hosts: Hosts | None, model: ModelServer) -> None:
        if self.report.failed:
            self.kept = Path(tempfile.mkdtemp(prefix=f"{stack.project}-logs-"))
            await stack.keep_logs(self.kept)
            if hosts is not None:
                await hosts.keep_logs(self.kept)
            for path in model.folder.iterdir():
                (self.kept / path.name).write_bytes(path.read_bytes())
            self.report.say(f"the services' logs are kept in {self.kept}")
        async with self._step("everything is taken down"):
            try:
                await stack.down()
            finally:
                if hosts is not None:
                    await hosts.down()
            if self.without is not None:
                with contextlib.suppress(DockerException):
                    await threaded(stack.engine.client.images.remove, self.without.tag)

    async def _drive(self, bench: Bench, hosts: Hosts | None) -> None:
        loading = asyncio.create_task(self._load(bench, hosts))
        trials = [self._trial(name, bench) for name in self._names()]
        try:
            await self._alone(trials)
            await self.player.together(trials, LATE)
            await self.player.together(trials, RESTART)
            if "scripted" in self._names() and self.player.chosen(USAGE.name):
                await self._crowd(bench)
            await loading
            if hosts is not None:
                await self.player.together(trials, Moving(hosts).joint())
            await self._books(bench, trials)
        finally:
            loading.cancel()
            for trial in trials:
                await trial.visitor.leave()

    async def _load(self, bench: Bench, hosts: Hosts | None) -> None:
        if hosts is not None:
            images = (self.services, bench.image)
            await hosts.found["ha"].load(bench.stack.engine, images)

    def _names(self) -> list[str]:
        known = [name for name in self.introduced if name in DIALECTS]
        missing = {*self.agents} - {*known}
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))}: not in the image; it has {known}")
        return [name for name in known if not self.agents or name in self.agents]

    def _trial(self, name: str, bench: Bench) -> Trial:
        return Trial(DIALECTS[name], bench, lacks().get(name, {}), Visitor(bench.api))

    async def _alone(self, trials: list[Trial]) -> None:
        room = asyncio.Semaphore(AGENTS_AT_ONCE)

        async def one(trial: Trial) -> None:
            async with room:
                await self.player.play(trial, ALONE)
                await self.player.play(trial, checks_errors.ERRORS, at_once=ERRORS_AT_ONCE)

        await asyncio.gather(*map(one, trials))

    async def _crowd(self, bench: Bench) -> None:
        began = time.monotonic()
        try:
            told = await crowd(bench)
        except Exception as error:  # noqa: BLE001 - its outcome
            self._failed(f"{USAGE.name}, over many runs", error)
            return
        seconds = time.monotonic() - began
        self.report.told("scripted", USAGE.name, "yes", seconds=seconds, why=told)

    async def _books(self, bench: Bench, trials: list[Trial]) -> None:
        for trial in trials:
            if trial.dialect.reads_model:
                await self.player.play(trial, [USAGE])
            if self.player.chosen("log in order"):
                await self.player.recorded(trial)
        if self.player.chosen(USAGE.name):
            try:
                await ledger_is_booked(bench)
            except AssertionError as error:
                self._failed("every line of the ledger is booked", error)

    @contextlib.asynccontextmanager
    async def _step(self, name: str) -> AsyncGenerator[None]:
        began = time.monotonic()
        yield
        self.report.say(f"      {name} ({time.monotonic() - began:.1f} s)")
