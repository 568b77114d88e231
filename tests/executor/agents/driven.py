"""A real scripted agent, driven through the runner over real pipes."""

import asyncio
import contextlib
import json
import os
import select
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from contracts.events import Event, kind_of
from executor.agents.asks import Ask, Decision
from executor.agents.inbox import TakenBack
from executor.agents.profile import AgentOptions, Profile, load_profile
from executor.agents.session import AgentSession
from executor.agents.turn import TurnLimits, TurnResult
from executor.threads import AgentThreads

DEADLINE = 30
LIMITS = TurnLimits(silence=20, duration=60, grace=0.3)


def script(*steps: dict[str, Any]) -> str:
    return f"Do this: <<SCRIPT{json.dumps(steps)}SCRIPT>>"


def wait_gone(pid: int) -> bool:
    """A pidfd becomes readable when its process has ended, reaped or not."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], DEADLINE)[0])
    finally:
        os.close(process)


def read_fifo(path: Path) -> str:
    """What was written to it; opened for both directions, so that nothing waits for a writer."""
    fifo = os.open(path, os.O_RDWR)
    try:
        assert select.select([fifo], [], [], DEADLINE)[0], f"nobody wrote to {path.name}"
        return os.read(fifo, 4096).decode()
    finally:
        os.close(fifo)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]


class Desk:
    """Where a turn's events and questions arrive in a test."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asks: list[Ask] = []
        self.decisions: list[Decision] = []
        self.withdrawn = 0
        self.asked = asyncio.Event()
        self._arrived = asyncio.Condition()

    async def on_event(self, event: Event) -> None:
        async with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    async def until(self, kind: str) -> None:
        async with asyncio.timeout(DEADLINE), self._arrived:
            await self._arrived.wait_for(lambda: self.of(kind))

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if kind_of(event) == kind]

    async def ask(self, ask: Ask) -> Decision:
        """Decides as was prepared, or never."""
        self.asks.append(ask)
        self.asked.set()
        if self.decisions:
            return self.decisions.pop(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.withdrawn += 1
            raise
        raise AssertionError


class Driven:
    def __init__(self, session: AgentSession, workspace: Path) -> None:
        self.session = session
        self.workspace = workspace
        self.desk = Desk()

    async def turn(self, *steps: dict[str, Any], limits: TurnLimits = LIMITS) -> TurnResult:
        return await self.say(script(*steps), limits=limits)

    async def say(self, prompt: str, *, limits: TurnLimits = LIMITS) -> TurnResult:
        async with asyncio.timeout(DEADLINE):
            return await self.session.turn(
                prompt, on_event=self.desk.on_event, ask=self.desk.ask, limits=limits
            )

    def begin(
        self, *steps: dict[str, Any], limits: TurnLimits = LIMITS
    ) -> asyncio.Task[TurnResult]:
        return asyncio.create_task(self.turn(*steps, limits=limits))

    def limit(self, limits: TurnLimits) -> None:
        """From now on, for the turn that runs: it looks at its deadlines again at once."""
        turn = self.session._turn
        assert turn is not None
        turn._limits = limits
        self.session._inbox.put_nowait(TakenBack("nobody's"))

    async def pid_from(self, fifo: str) -> int:
        """Waits for a shell step to write its pid."""
        return int(await asyncio.to_thread(read_fifo, self.workspace / fifo))


class Berth:
    """A home, a workspace, and agents started in them."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.workspace = root / "workspace"
        self.log_dir = root / "log"
        self.home.mkdir(parents=True)
        self.workspace.mkdir()
        self.profile: Profile = load_profile("scripted")

    def options(self, **changes: Any) -> AgentOptions:
        options = AgentOptions(
            home=self.home,
            workspace=self.workspace,
            path=os.defpath,
            log_dir=self.log_dir,
            threads=AgentThreads(None),
        )
        return msgspec.structs.replace(options, **changes)

    @contextlib.asynccontextmanager
    async def started(self, **changes: Any) -> AsyncIterator[Driven]:
        session = await AgentSession.start(self.profile, self.options(**changes))
        try:
            yield Driven(session, self.workspace)
        finally:
            await session.end(grace=0)

    @contextlib.asynccontextmanager
    async def opened(self, **changes: Any) -> AsyncIterator[Driven]:
        async with self.started(**changes) as driven:
            await driven.session.open()
            yield driven
