"""One agent on trial: where it runs, what its checks share, and how a check is told to be n/a."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from docker.models.containers import Container

from contracts.runs import RunOptions
from tests.agents.acts import Edit, Plan, Say, Shell, Write
from tests.agents.dialects import Dialect
from tests.agents.model import Asked, ModelServer
from tests.agents.talk import LIMITS, Talk, nonce
from tests.e2e.client import Client
from tests.e2e.engine import Engine
from tests.e2e.snapshots import Saved, head
from tests.e2e.stack import Stack
from tests.system.visitor import Shadow, Visitor

DEADLINE = 120.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The one stack that all agents are tried on."""

    stack: Stack
    api: Client
    model: ModelServer
    image: str
    introduced: Mapping[str, Any]
    """What each agent of the image answered to `initialize`, asked without us."""


@dataclass(frozen=True, kw_only=True)
class Tour:
    """One run that shows most of what an agent does. Each word stands nowhere else."""

    shadow: Shadow
    talk: Talk
    wrote: str
    edited: str
    printed: str
    planned: str
    thought: str
    said: str


@dataclass
class Trial:
    dialect: Dialect
    bench: Bench
    lacks: Mapping[str, str]
    """Checks that are n/a for this agent, and why."""
    visitor: Visitor
    talks: list[Talk] = field(default_factory=list[Talk])
    _tour: asyncio.Task[Tour] | None = None

    @property
    def name(self) -> str:
        return self.dialect.name

    @property
    def engine(self) -> Engine:
        return self.bench.stack.engine

    def talk(self, **options: Any) -> Talk:
        """In a session of its own."""
        talk = Talk(
            self.dialect,
            self.bench.api,
            self.visitor,
            options=RunOptions(**{"limits": LIMITS, **options}),
        )
        self.talks.append(talk)
        return talk

    async def tour(self) -> Tour:
        """Made once, by the check that comes first."""
        if self._tour is None:
            self._tour = asyncio.create_task(self._make_tour())
        return await asyncio.shield(self._tour)

    async def _make_tour(self) -> Tour:
        wrote, edited, printed, planned, thought, said = (nonce() for _ in range(6))
        talk = self.talk(needs=["resume"])
        shadow = await talk.done(
            Write(path="tour.txt", content=f"{wrote}\n"),
            Edit(path="tour.txt", old=wrote, new=edited),
            Write(path="kept.txt", content=f"{wrote}\n"),
            Shell(command=f"echo {printed}-$((6*7)) | tee printed.txt"),
            Plan(entry=planned),
            Say(think=f"I think of {thought}.", text=f"It is {said}."),
        )
        return Tour(
            shadow=shadow, talk=talk, wrote=wrote, edited=edited, printed=printed,
            planned=planned, thought=thought, said=said,
        )  # fmt: skip

    # --- the witnesses -----------------------------------------------------------------------

    async def container(self, talk: Talk) -> Container:
        assert talk.session is not None
        return await self.engine.session(talk.session)

    async def saved(self, talk: Talk) -> Saved:
        """The session's head, from the store."""
        assert talk.session is not None
        found = await head(self.bench.stack, talk.session)
        assert found is not None, "nothing is committed"
        return found

    async def there(self, talk: Talk, path: str) -> bytes | None:
        """In the container, as the engine reads it."""
        return await self.engine.file(await self.container(talk), f"/workspace/{path}")

    def asked(self, word: str) -> list[Asked]:
        """Requests that the model got with that word in their conversation."""
        return self.bench.model.asked(word)

    # --- the end of a check ------------------------------------------------------------------

    async def give_back(self, talks: list[Talk]) -> None:
        """The places of their workers."""
        for session in {talk.session for talk in talks} - {None}:
            assert isinstance(session, UUID)
            await self.bench.api.raw("POST", f"/api/v1/session-workers/{session}/stop")


Play = Callable[[Trial], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """`name` is its row in the table."""

    name: str
    play: Play
    deadline: float = DEADLINE
