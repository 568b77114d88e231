"""What reaches a turn, in the order in which it happened: one queue for the agent, the person and
the end.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from contracts.reasons import Reason
from executor.agents.connection import RequestWithdrawn

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Updated:
    update: Message


@dataclass(frozen=True, slots=True)
class Asked:
    """`answered` takes the agent's answer."""

    request_id: str
    method: str
    params: Message
    answered: asyncio.Future[Message] = field(compare=False)

    def answer(self, result: Message) -> None:
        if not self.answered.done():
            self.answered.set_result(result)

    def refuse(self) -> None:
        if not self.answered.done():
            self.answered.set_exception(RequestWithdrawn())


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The agent withdrew a request of its own."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Decided:
    """An ask is over, in whatever way."""

    request_id: str


@dataclass(frozen=True, slots=True)
class EndRequested:
    reason: Reason
    grace: float


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """The agent answered the prompt, or cannot any more."""


Item = Updated | Asked | TakenBack | Decided | EndRequested | PromptEnded
Inbox = asyncio.Queue[Item]
