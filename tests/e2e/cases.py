"""A case, what it is given, and how many are played: each gets a line, each failure its reason."""

import asyncio
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.e2e.client import Client, client
from tests.system.visitor import Visitor

DEADLINE = 150.0
"""Of one case."""


@dataclass
class Figures:
    """What cases measured, in milliseconds, by name."""

    measured: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, name: str, milliseconds: float) -> None:
        self.measured.setdefault(name, []).append(milliseconds)

    def median(self, name: str) -> int | None:
        found = self.measured.get(name)
        return round(median(found)) if found else None


@dataclass
class Scene:
    """What a black-box case has: a client, and a visitor of its own."""

    api: Client
    figures: Figures
    visitor: Visitor


@asynccontextmanager
async def elsewhere(url: str, key: str, figures: Figures) -> AsyncGenerator[Scene]:
    """Of somebody else, or of another installation."""
    async with client(url, key) as api:
        visitor = Visitor(api)
        try:
            yield Scene(api, figures, visitor)
        finally:
            await visitor.leave()


Play = Callable[[Scene], Awaitable[None]]
Check = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    play: Play
    deadline: float = DEADLINE


@dataclass
class Report:
    only: str = ""
    """Of the names of cases that are played."""
    cases: int = 0
    failures: list[str] = field(default_factory=list[str])
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)  # noqa: T201 - it reports

    def done(self, name: str, seconds: float) -> None:
        self.cases += 1
        self.say(f"ok    {name} ({seconds:.1f} s)")

    def failed(self, name: str, seconds: float, error: BaseException) -> None:
        self.cases += 1
        self.failures.append(name)
        self.say(f"FAIL  {name} ({seconds:.1f} s): {_reason(error)}")
        self.say("".join(traceback.format_exception(error, chain=False)))

    @property
    def ok(self) -> bool:
        return not self.failures


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:600]


@dataclass
class Player:
    """Plays cases against one installation; several at once, where they disturb nobody."""

    api: Client
    figures: Figures
    report: Report
    check: Check
    """What must hold after every case."""

    async def play(self, cases: Iterable[Case], *, at_once: int = 1) -> None:
        room = asyncio.Semaphore(at_once)

        async def one(case: Case) -> None:
            async with room:
                await self._one(case)

        await asyncio.gather(*(one(case) for case in cases if self.report.only in case.name))

    async def _one(self, case: Case) -> None:
        visitor = Visitor(self.api)
        scene = Scene(self.api, self.figures, visitor)
        began = time.monotonic()
        try:
            async with asyncio.timeout(case.deadline):
                await case.play(scene)
                await self.check(scene)
        except Exception as error:  # noqa: BLE001 - the case's outcome
            self.report.failed(case.name, time.monotonic() - began, error)
        else:
            self.report.done(case.name, time.monotonic() - began)
        finally:
            await visitor.leave()
            await self._give_back(visitor)

    async def _give_back(self, visitor: Visitor) -> None:
        """The places of its workers: the next cases need them."""
        for session in visitor.sessions:
            await self.api.raw("POST", f"/api/v1/session-workers/{session}/stop")
