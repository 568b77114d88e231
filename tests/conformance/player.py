"""Plays checks on trials; one that an agent lacks is played as well, and has to fail."""

import asyncio
import re
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from tests.conformance.report import Report, reason_of
from tests.conformance.together import Joint, Led, lead_all
from tests.conformance.trial import Check, Trial
from tests.e2e.cases import Figures, Scene
from tests.e2e.logs import recorded_right

LACKING = 45.0
"""How long a check may try what the agent is said to lack."""
JOINT = 300.0


class OutOfDate(AssertionError):
    """It is said to lack what it can."""


@dataclass(frozen=True, kw_only=True)
class Player:
    report: Report
    only: str = ""
    """A pattern, found in the names of checks that are played."""

    def chosen(self, name: str) -> bool:
        return re.search(self.only, name) is not None

    async def play(self, trial: Trial, checks: Iterable[Check], *, at_once: int = 1) -> None:
        room = asyncio.Semaphore(at_once)

        async def one(check: Check) -> None:
            async with room:
                await self._one(trial, check)

        await asyncio.gather(*(one(check) for check in checks if self.chosen(check.name)))

    async def _one(self, trial: Trial, check: Check) -> None:
        before = len(trial.talks)
        await self._judged(trial, check.name, check.play(trial), check.deadline)
        await trial.give_back(trial.talks[before:])

    async def _judged(
        self, trial: Trial, name: str, play: Awaitable[None], deadline: float
    ) -> None:
        lack = trial.lacks.get(name)
        began = time.monotonic()
        error: Exception | None = None
        try:
            async with asyncio.timeout(deadline if lack is None else LACKING):
                await play
        except Exception as raised:  # noqa: BLE001 - the check's outcome
            error = raised
        if lack is not None and error is None:
            error = OutOfDate(f"it works, and is said to be n/a: {lack}")
        elif lack is not None:
            seconds = time.monotonic() - began
            self.report.told(trial.name, name, "n/a", seconds=seconds, why=lack)
            return
        self._tell(trial, name, error, time.monotonic() - began)

    def _tell(self, trial: Trial, name: str, error: BaseException | None, seconds: float) -> None:
        if error is None:
            self.report.told(trial.name, name, "yes", seconds=seconds, why="")
            return
        self.report.told(trial.name, name, "failed", seconds=seconds, why=reason_of(error))
        self.report.explain(error)

    async def together(self, trials: list[Trial], joint: Joint) -> None:
        """A trial that cannot be led there has failed all that would have been looked at."""
        looks = {name: look for name, look in joint.looks.items() if self.chosen(name)}
        if not looks or not trials:
            return
        led = await lead_all(trials, joint.lead)
        began = time.monotonic()
        await joint.strike(trials[0].bench)
        self.report.say(f"      {', '.join(looks)}: struck ({time.monotonic() - began:.1f} s)")

        async def look_at(trial: Trial, found: Led | BaseException) -> None:
            for name, look in looks.items():
                if isinstance(found, BaseException):
                    self._tell(trial, name, found, 0.0)
                else:
                    await self._judged(trial, name, look(trial, found), JOINT)

        await asyncio.gather(*map(look_at, trials, led))
        await asyncio.gather(
            *(trial.give_back([one.talk]) for trial, one in zip(trials, led, strict=True)
              if isinstance(one, Led))
        )  # fmt: skip

    async def recorded(self, trial: Trial) -> None:
        """The oracle on all that it was told, by the database."""
        check = recorded_right(trial.bench.stack)
        scene = Scene(trial.bench.api, Figures(), trial.visitor)
        await self._judged(trial, "log in order", check(scene), 120)
