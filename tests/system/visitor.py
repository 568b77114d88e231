"""What clients do and are told: acknowledged runs, and a shadow that follows each one's stream."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from cli.client import ApiClient
from cli.stream import RunStream, Seen
from contracts.runs import CreateRun, Run, RunOptions, RunState, SendMessage
from tests.fixtures.deadlines import DEADLINE

Enough = Callable[[list[Seen]], bool]


def script(*steps: dict[str, Any], said: str = "Do this.") -> str:
    return f"{said}\n<<SCRIPT{json.dumps(steps)}SCRIPT>>"


class Shadow:
    """Follows one run's stream through every cut, as `berth run` does."""

    def __init__(self, client: ApiClient, run_id: UUID, *, last_id: str = "") -> None:
        self.run_id = run_id
        self.seen: list[Seen] = []
        self._more = asyncio.Condition()
        stream = RunStream(client, run_id=run_id, last_id=last_id)
        self._task = asyncio.create_task(self._follow(stream))

    async def _follow(self, stream: RunStream) -> None:
        try:
            async with aclosing(stream.events()) as found:
                async for one in found:
                    self.seen.append(one)
                    await self._tell()
        finally:
            await self._tell()

    async def _tell(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def until(self, enough: Enough, *, within: float = DEADLINE) -> list[Seen]:
        """Raises AssertionError when the stream ends or the time is over before."""
        try:
            async with asyncio.timeout(within), self._more:
                while not enough(self.seen):
                    if self._task.done():
                        self._task.result()
                        raise AssertionError(f"the stream ended: {self.kinds()}")
                    await self._more.wait()
        except TimeoutError as error:
            raise AssertionError(f"not seen within {within:g} s: {self.kinds()}") from error
        return self.seen

    async def kind(self, kind: str, *, count: int = 1, within: float = DEADLINE) -> Seen:
        await self.until(lambda seen: _count(seen, kind) >= count, within=within)
        return [one for one in self.seen if one.kind == kind][count - 1]

    async def so_many(self, count: int) -> None:
        await self.until(lambda seen: len(seen) >= count)

    async def closed(self, *, within: float = DEADLINE) -> str:
        """The state that the run ended in."""
        end = await self.kind("run.closed", within=within)
        return str(getattr(end.event, "state", ""))

    def kinds(self) -> str:
        """In short: with counts of what follows on its own kind."""
        short: list[list[Any]] = []
        for one in self.seen:
            if short and short[-1][0] == one.kind:
                short[-1][1] += 1
            else:
                short.append([one.kind, 1])
        return " ".join(kind if count == 1 else f"{kind} ({count})" for kind, count in short)

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _count(seen: list[Seen], kind: str) -> int:
    return sum(one.kind == kind for one in seen)


@dataclass
class Visitor:
    """Keeps the ledger of what was answered 2xx."""

    api: ApiClient
    runs: dict[UUID, Run] = field(default_factory=dict[UUID, Run])
    shadows: dict[UUID, Shadow] = field(default_factory=dict[UUID, Shadow])

    async def send(
        self,
        text: str,
        *,
        session: UUID | None = None,
        agent: str = "scripted",
        options: RunOptions | None = None,
    ) -> Shadow:
        path = f"/api/v1/sessions/{session}/messages" if session else "/api/v1/runs"
        options = options or RunOptions()
        body: SendMessage | CreateRun = SendMessage(text=text, options=options)
        if session is None:
            body = CreateRun(text=text, agent=agent, options=options)
        headers = {"Idempotency-Key": f"visitor-{uuid4()}"}
        run = await self.api.post(path, Run, body, headers=headers)
        return self.follow(run)

    def follow(self, run: Run) -> Shadow:
        """A run that was acknowledged to us."""
        self.runs[run.id] = run
        self.shadows[run.id] = Shadow(self.api, run.id)
        return self.shadows[run.id]

    def session_of(self, shadow: Shadow) -> UUID:
        return self.runs[shadow.run_id].session_id

    async def run(self, shadow: Shadow) -> Run:
        return await self.api.get(f"/api/v1/runs/{shadow.run_id}", Run)

    async def succeeded(self, shadow: Shadow, *, within: float = DEADLINE) -> Run:
        state = await shadow.closed(within=within)
        run = await self.run(shadow)
        assert state == run.state == RunState.SUCCEEDED, f"{run} {shadow.kinds()}"
        return run

    @property
    def sessions(self) -> set[UUID]:
        return {run.session_id for run in self.runs.values()}

    async def leave(self) -> None:
        for shadow in self.shadows.values():
            await shadow.leave()
