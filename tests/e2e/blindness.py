"""Whether the checks see: each is asked in a container that has just its weakness."""

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.engine import Engine
from tests.e2e.inside import Question, asked_outside, seen_outside
from tests.e2e.weakened import Config, Weakness, like

OUTSIDE = ("inspect", "logs")
WEAKENED_AT_ONCE = 3


@dataclass(frozen=True, kw_only=True)
class Blindness:
    engine: Engine
    label: tuple[str, str]
    """Of every container that is made."""
    front: str
    """A network with names."""
    sound: Sequence[str]
    """What must be green without any weakness."""

    async def none(
        self, weaknesses: Sequence[Weakness], pattern: Config, question: Question
    ) -> None:
        """Raises AssertionError, with the weaknesses that no check saw."""
        room = asyncio.Semaphore(WEAKENED_AT_ONCE)

        async def one(weakness: Weakness) -> str:
            async with room:
                found = await self.found(pattern, question, weakness)
                return "" if found else f"{weakness.name}: {weakness.check} as {weakness.uid}"

        sound = await self.found(pattern, question, Weakness(name="none", check=""))
        assert not sound, f"without any weakness: {sound}"
        missed = await asyncio.gather(*(one(weakness) for weakness in weaknesses))
        assert not any(missed), f"blind: {[one for one in missed if one]}"

    async def found(self, pattern: Config, question: Question, weakness: Weakness) -> list[str]:
        config = copy.deepcopy(pattern)
        weakness.change(config, question)
        config["Labels"].update([self.label])
        if config["HostConfig"]["NetworkMode"] == "front":
            config["HostConfig"]["NetworkMode"] = self.front
        async with like(self.engine, config) as container:
            if weakness.prepare is not None:
                await weakness.prepare(self.engine, container, question)
            if weakness.check in OUTSIDE:
                return (await seen_outside(self.engine, container, question))[weakness.check]
            checks = [weakness.check] if weakness.check else self.sound
            answers = await asked_outside(
                self.engine, container, question, checks, uid=weakness.uid
            )
            return [one for several in answers.values() for one in several]
