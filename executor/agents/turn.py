"""One turn: a prompt, what comes of it, and how it ends.

Everything arrives through one inbox and is handled by one loop, so that events keep the order in
which the agent caused them. The turn ends when the agent has answered the prompt, or its connection
is gone; a cancel, the silence watchdog and the duration limit only ask for that end, and kill the
agent's processes if it does not come in time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Literal, assert_never

import msgspec

from contracts.events import Event, UsageUpdate
from contracts.reasons import Reason
from executor.agents import verdict
from executor.agents.asks import (
    QUESTION,
    WITHDRAWN,
    Ask,
    AskHandler,
    AskPermission,
    read_options,
    read_question,
)
from executor.agents.coalesce import Coalescer
from executor.agents.connection import AgentConnection
from executor.agents.errors import AgentFailed, ConnectionLost
from executor.agents.inbox import (
    Asked,
    Decided,
    EndRequested,
    Inbox,
    Item,
    PromptEnded,
    TakenBack,
    Updated,
)
from executor.agents.mapping import Mapper
from executor.agents.pending import PendingAsks
from executor.agents.process import AgentProcess
from executor.agents.updates import Permission

Message = dict[str, Any]
OnEvent = Callable[[Event], Awaitable[None]]
NEVER = float("inf")
TELL_SECONDS = 1.0
"""An agent that reads nothing is not waited for when it is told to end."""


class TurnLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. Neither silence nor duration counts while a person is asked."""

    silence: float = 600.0
    tool_silence: float | None = None
    """While a tool call is open; None: the same. Some tools say nothing for a long time."""
    duration: float = 3600.0
    grace: float = 5.0
    """From the request to end to the killing."""


class TurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """`stopped`: the session was ended under it, as for parking; nothing is said about the work."""

    outcome: Literal["completed", "canceled", "failed", "stopped"]
    reason: Reason
    detail: str = ""
    stop_reason: str = ""
    """As the agent said it."""
    text: str = ""
    """Its last whole message."""
    usage: UsageUpdate | None = None


class Turn:
    def __init__(
        self,
        *,
        connection: AgentConnection,
        process: AgentProcess,
        inbox: Inbox,
        mapper: Mapper,
        on_event: OnEvent,
        ask: AskHandler,
        limits: TurnLimits,
    ) -> None:
        self._abandoned = False
        self._connection = connection
        self._process = process
        self._inbox = inbox
        self._mapper = mapper
        self._on_event = on_event
        self._asks = PendingAsks(ask, inbox)
        self._limits = limits
        self._coalescer = Coalescer()
        self._ending: Reason | None = None
        self._refused_at = 0
        """How far the agent was when a person refused what it asked."""
        self._kill_at = NEVER
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    @property
    def ending(self) -> bool:
        return self._abandoned or self._ending is not None

    def abandon(self) -> None:
        """The agent is going to be ended without being asked."""
        self._abandoned = True

    async def run(self, session_id: str, prompt: list[Message]) -> TurnResult:
        """Raises what `on_event` and the asks raise; the caller then has to end the agent."""
        params = {"sessionId": session_id, "prompt": prompt}
        self._connection.last_heard = self._started
        prompted = asyncio.create_task(self._connection.request("session/prompt", params))
        prompted.add_done_callback(lambda _: self._inbox.put_nowait(PromptEnded()))
        try:
            while not isinstance(item := await self._next(session_id), PromptEnded):
                if item is not None:
                    await self._take(item, session_id)
            await self._emit(self._mapper.finish())
            result = await self._conclude(prompted)
            await self._flush()
        finally:
            self._asks.withdraw_all()
            prompted.cancel()
            await asyncio.gather(prompted, return_exceptions=True)
        return result

    async def _next(self, session_id: str) -> Item | None:
        """The next item; None if a deadline came first."""
        due = self._coalescer.due
        deadline = min(NEVER if due is None else due, self._watch_deadline(), self._kill_at)
        if self._loop.time() >= deadline:
            # first: the queue of an agent that never pauses is never empty
            await self._pass_deadline(session_id)
            return None
        with contextlib.suppress(asyncio.QueueEmpty):
            return self._inbox.get_nowait()
        try:
            async with asyncio.timeout_at(None if deadline == NEVER else deadline):
                return await self._inbox.get()
        except TimeoutError:
            await self._pass_deadline(session_id)
            return None

    async def _take(self, item: Item, session_id: str) -> None:
        match item:
            case Updated():
                await self._emit(self._mapper.update(item.update))
            case Asked():
                await self._begin_ask(item)
            case TakenBack():
                self._asks.take_back(item.request_id)
            case Decided():
                self._asks.end(item.request_id)
                self._refused_at = self._mapper.steps
            case EndRequested():
                await self._end(item.reason, session_id, grace=item.grace)
            case PromptEnded():
                pass
            case _:
                assert_never(item)

    async def _emit(self, events: list[Event]) -> None:
        for event in events:
            for ready in self._coalescer.add(event, now=self._loop.time()):
                await self._on_event(ready)

    async def _flush(self) -> None:
        for ready in self._coalescer.flush():
            await self._on_event(ready)

    # Deadlines

    def _watch_deadline(self) -> float:
        if self._asks or self._ending is not None:
            return NEVER
        return min(self._silence_deadline(), self._duration_deadline())

    def _silence_deadline(self) -> float:
        limit = self._limits.silence
        if self._mapper.open_calls and self._limits.tool_silence is not None:
            limit = self._limits.tool_silence
        return max(self._asks.last_over, self._connection.last_heard) + limit

    def _duration_deadline(self) -> float:
        return self._started + self._asks.waited + self._limits.duration

    async def _pass_deadline(self, session_id: str) -> None:
        now = self._loop.time()
        if self._coalescer.due is not None and now >= self._coalescer.due:
            await self._flush()
        if now >= self._kill_at:
            self._kill_at = NEVER
            await self._process.end_tree(grace=0)
        elif now >= self._watch_deadline():
            silent = now >= self._silence_deadline()
            reason = Reason.AGENT_SILENT if silent else Reason.DURATION_LIMIT
            await self._end(reason, session_id, grace=self._limits.grace)

    async def _end(self, reason: Reason, session_id: str, *, grace: float) -> None:
        """Asks the agent to end its turn; the first reason counts, the shortest grace too."""
        self._kill_at = min(self._kill_at, self._loop.time() + grace)
        if self._ending is not None:
            return
        self._ending = reason
        self._process.resume_tree()
        self._asks.withdraw_all()
        with contextlib.suppress(ConnectionLost, TimeoutError):
            async with asyncio.timeout(min(grace, TELL_SECONDS)):
                await self._connection.notify("session/cancel", {"sessionId": session_id})

    # Asks

    async def _begin_ask(self, asked: Asked) -> None:
        try:
            ask = await self._read_ask(asked)
        except msgspec.ValidationError:
            ask = None
        if ask is None or self._ending is not None:
            asked.answer(WITHDRAWN[asked.method])
            return
        await self._flush()
        self._asks.begin(asked, ask)

    async def _read_ask(self, asked: Asked) -> Ask | None:
        if asked.method == QUESTION:
            return read_question(asked.params)
        permission = msgspec.convert(asked.params, Permission)
        await self._emit(self._mapper.asked(permission.tool_call))
        call = self._mapper.call(permission.tool_call.tool_call_id)
        return AskPermission(
            call_id=call.described.call_id,
            title=call.described.title,
            tool=call.described.tool,
            kind=call.described.tool_kind,
            shown=call.shown,
            digest=call.digest,
            options=read_options(permission),
        )

    # The end

    async def _conclude(self, prompted: asyncio.Task[Message]) -> TurnResult:
        failure = await self._failure(prompted)
        result = None if failure is not None else verdict.read_result(prompted.result())
        judged = verdict.judge(
            failure=failure,
            stop_reason="" if result is None else result.stop_reason,
            ending=self._ending,
            refused=self._asks.refused,
            went_on=self._mapper.steps > self._refused_at,
            abandoned=self._abandoned,
            system_error=self._mapper.system_error,
        )
        usage = None
        if result is not None and result.usage is not None:
            usage = self._mapper.usage(result.usage)
            await self._emit([usage])
        return TurnResult(
            outcome=judged.outcome,
            reason=judged.reason,
            detail=judged.detail,
            stop_reason="" if result is None else result.stop_reason,
            text=self._mapper.text,
            usage=usage,
        )

    async def _failure(self, prompted: asyncio.Task[Message]) -> AgentFailed | None:
        """A lost connection is explained by how the process ended."""
        error = prompted.exception()
        if isinstance(error, ConnectionLost):
            await self._process.end_tree(grace=1.0)
            return self._process.explain(error)
        if error is None or isinstance(error, AgentFailed):
            return error
        raise error
