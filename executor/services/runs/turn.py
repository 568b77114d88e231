"""The turn of an attempt: events to the spool, checkpoints on the way, an end when asked for."""

import asyncio
from contextlib import suppress

from chassis.logs import get_logger
from contracts.commands import RunSpec
from contracts.events import Event, MessageStop, ToolResult
from executor.agents.asks import Ask, Decision
from executor.agents.session import AgentSession
from executor.agents.turn import TurnLimits, TurnResult
from executor.reporter import RunReporter
from executor.services.runs.asks import Asks
from executor.services.runs.endings import Ended, Ending, EndRequest
from executor.services.runs.opening import Prompted
from executor.services.worker import Worker
from executor.workspace.errors import WorkspaceError

_log = get_logger()


class RunTurn:
    def __init__(
        self,
        worker: Worker,
        spec: RunSpec,
        run: RunReporter,
        *,
        session: AgentSession,
        asks: Asks,
        request: EndRequest,
        prompted: Prompted,
    ) -> None:
        self._worker = worker
        self._spec = spec
        self._run = run
        self._session = session
        self._asks = asks
        self._request = request
        self._prompted = prompted
        self._taken_in = False

    async def result(self) -> TurnResult:
        """Raises `AgentFailed`."""
        limits = TurnLimits(
            silence=self._spec.limits.silence_seconds,
            duration=self._spec.limits.max_duration_seconds,
            grace=self._spec.cancel_grace_seconds,
        )
        turn = asyncio.create_task(
            self._session.turn(
                self._prompted.prompt,
                context=self._prompted.context,
                on_event=self._on_event,
                ask=self._ask,
                limits=limits,
            )
        )
        asked = asyncio.create_task(self._request.wait())
        try:
            await asyncio.wait({turn, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                await self._end()
            result = await turn
        finally:
            turn.cancel()
            asked.cancel()
            await asyncio.wait({turn, asked})
        if result.outcome == "completed":
            await self._asks.withdraw_cancelled()
        return result

    async def _end(self) -> None:
        if self._request.ending is Ending.CANCELED:
            await self._session.cancel(grace=self._spec.cancel_grace_seconds)
        else:
            # no ACP cancel: the agent would note that a person stopped it
            await self._session.end()

    async def _on_event(self, event: Event) -> None:
        await self._take_in()
        if self._request.ending is None:
            await self._asks.withdraw_cancelled()
            if self._worker.spool.full:
                # a full spool slows the agent down, but holds up no end
                with suppress(Ended):
                    await self._request.unless_ended(self._run.room())
        await self._run.event(event)
        if isinstance(event, MessageStop | ToolResult):
            self._worker.saves.checkpoints.soon(self._run, self._session)

    async def _ask(self, ask: Ask) -> Decision:
        await self._take_in()
        self._worker.saves.checkpoints.soon(self._run, self._session)
        return await self._asks.handle(ask)

    async def _take_in(self) -> None:
        """The first sign of the agent after the prompt: it has the message in its own history."""
        if self._taken_in:
            return
        self._taken_in = True
        try:
            await self._worker.agent_data.remember(self._prompted.history)
        except (WorkspaceError, OSError) as error:
            _log.warning("agent_history_not_written", reason=str(error))
            await self._run.warning("agent_history_not_written", str(error))
