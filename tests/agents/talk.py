"""A conversation with one agent: sent in its dialect, asks allowed unless a check takes them."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from uuid import UUID

from cli.stream import Seen
from contracts.events import HumanLoopRequested, RunStarted, ThoughtDelta
from contracts.human_loop import Replied, Reply
from contracts.runs import AskedLimits, Run, RunOptions
from tests.agents.acts import Act
from tests.agents.dialects import Dialect
from tests.e2e.client import Client
from tests.system.visitor import Shadow, Visitor

WITHIN = 90.0
LIMITS = AskedLimits(max_duration_seconds=120, silence_seconds=60, max_failures=1)
"""What fails is seen at once; a check that wants another try says so."""


@dataclass
class Talk:
    """`session`: of the last run; the next message goes there."""

    dialect: Dialect
    api: Client
    visitor: Visitor
    session: UUID | None = None
    options: RunOptions = field(default_factory=lambda: RunOptions(limits=LIMITS))

    async def send(
        self, *acts: Act, options: RunOptions | None = None, said: str = "Do this."
    ) -> Shadow:
        shadow = await self.visitor.send(
            self.dialect.prompt(*acts, said=said),
            session=self.session,
            agent=self.dialect.name,
            options=options or self.options,
        )
        self.session = self.visitor.session_of(shadow)
        return shadow

    async def done(
        self,
        *acts: Act,
        options: RunOptions | None = None,
        said: str = "Do this.",
        within: float = WITHIN,
    ) -> Shadow:
        """Succeeded, with everything allowed that it asked for."""
        shadow = await self.send(*acts, options=options, said=said)
        await self.succeeded(shadow, within=within)
        return shadow

    async def succeeded(self, shadow: Shadow, *, within: float = WITHIN) -> Run:
        async with self.allowing(shadow):
            return await self.visitor.succeeded(shadow, within=within)

    async def ended(self, shadow: Shadow, *, within: float = WITHIN) -> Run:
        """However it ended."""
        async with self.allowing(shadow):
            await shadow.closed(within=within)
        return await self.visitor.run(shadow)

    @contextlib.asynccontextmanager
    async def allowing(self, shadow: Shadow) -> AsyncGenerator[None]:
        """Each request of the run, as it comes."""
        task = asyncio.create_task(self._allow(shadow))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, AssertionError):
                await task

    async def _allow(self, shadow: Shadow) -> None:
        answered: set[UUID] = set()
        while True:
            await shadow.until(lambda seen: bool(_open(seen) - answered), within=3600)
            for request in _open(shadow.seen) - answered:
                await self.reply(request, Reply(decision="allow"))
                answered.add(request)

    async def reply(self, request: UUID, answer: Reply) -> Replied:
        return await self.api.post(f"/api/v1/human-loop/{request}/reply", Replied, answer)

    async def asked(self, shadow: Shadow, *, count: int = 1) -> HumanLoopRequested:
        event = (await shadow.kind("human_loop.requested", count=count, within=WITHIN)).event
        assert isinstance(event, HumanLoopRequested)
        return event


def _open(seen: list[Seen]) -> set[UUID]:
    """Permissions that nobody has answered; a question wants words of a check's own."""
    asked = {
        one.event.request_id
        for one in seen
        if isinstance(one.event, HumanLoopRequested) and one.event.type == "permission"
    }
    return asked - {
        getattr(one.event, "request_id", None) for one in seen if one.kind == "human_loop.resolved"
    }


def asks(seen: list[Seen]) -> int:
    return sum(one.kind == "human_loop.requested" for one in seen)


def thought(seen: list[Seen]) -> str:
    return "".join(one.event.text for one in seen if isinstance(one.event, ThoughtDelta))


def labels(seen: list[Seen]) -> list[str]:
    return [one.event.resume for one in seen if isinstance(one.event, RunStarted)]


def nonce() -> str:
    """A word that stands nowhere else."""
    return f"n{secrets.token_hex(6)}"
