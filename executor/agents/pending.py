"""The asks of one turn that no person has decided yet."""

import asyncio
from collections.abc import Callable

from executor.agents.asks import WITHDRAWN, Ask, AskHandler, Decision, answer
from executor.agents.inbox import Asked, Decided, Inbox


class PendingAsks:
    def __init__(self, handler: AskHandler, inbox: Inbox) -> None:
        self.refused = False
        """The last decision was a refusal."""
        self.last_over = 0.0
        """When the last ask was over, and how many seconds some ask was open: the loop's clock."""
        self.waited = 0.0
        self._handler = handler
        self._inbox = inbox
        self._open: dict[str, tuple[Asked, asyncio.Task[None]]] = {}
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, asked: Asked, ask: Ask) -> None:
        if not self._open:
            self._since = asyncio.get_running_loop().time()
        task = asyncio.create_task(self._decide(asked, ask))
        self._open[asked.request_id] = (asked, task)
        task.add_done_callback(lambda _: self._inbox.put_nowait(Decided(asked.request_id)))

    def end(self, request_id: str) -> None:
        """Raises what the handler raised."""
        if request_id not in self._open:
            return
        _, task = self._open.pop(request_id)
        self._stop_waiting()
        if not task.cancelled():
            task.result()

    def take_back(self, request_id: str) -> None:
        """By the agent: it no longer waits for an answer."""
        self._withdraw(request_id, Asked.refuse)

    def withdraw_all(self) -> None:
        for request_id in list(self._open):
            self._withdraw(request_id, lambda asked: asked.answer(WITHDRAWN[asked.method]))

    async def _decide(self, asked: Asked, ask: Ask) -> None:
        decision = await self._handler(ask)
        self.refused = _is_refusal(decision)
        asked.answer(answer(ask, decision))

    def _withdraw(self, request_id: str, tell: Callable[[Asked], None]) -> None:
        """The handler hears it as a cancellation; a decision that comes later reaches nobody."""
        if request_id not in self._open:
            return
        asked, task = self._open.pop(request_id)
        tell(asked)
        task.cancel()
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        self.last_over = asyncio.get_running_loop().time()
        if not self._open:
            self.waited += self.last_over - self._since


def _is_refusal(decision: Decision) -> bool:
    return (decision.option_kind or "").startswith("reject")
