"""One message of the demo: its stream shown, what came of it kept."""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from cli.exits import CliError, Exit
from cli.printer import Printer
from cli.stream import RunStream, Seen
from contracts import events

T = TypeVar("T", bound=events.Event)

OnAsk = Callable[[events.HumanLoopRequested, UUID], Awaitable[None]]
"""Called with the request and the id of the worker that asks."""


@dataclass(slots=True)
class Turn:
    seen: list[Seen] = field(default_factory=list[Seen])
    first_delta_ms: int | None = None
    """From the POST to the first text of the agent."""

    def every(self, kind: type[T]) -> list[T]:
        return [one.event for one in self.seen if isinstance(one.event, kind)]

    def last(self, kind: type[T]) -> T:
        found = self.every(kind)
        if not found:
            raise DemoFailed(f"no {kind.__name__} came")
        return found[-1]

    @property
    def text(self) -> str:
        return "".join(message.text for message in self.every(events.MessageStop))

    @property
    def worker_id(self) -> UUID:
        return self.last(events.RunClaimed).worker_id

    @property
    def epoch(self) -> int:
        return self.last(events.RunClaimed).epoch

    @property
    def last_state(self) -> str:
        return self.last(events.RunClosed).state

    @property
    def snapshot_id(self) -> UUID | None:
        return self.last(events.RunFinished).snapshot_id


class DemoFailed(CliError):
    def __init__(self, what: str) -> None:
        super().__init__(f"The demo failed: {what}.", Exit.RUN_FAILED)


async def take_turn(stream: RunStream, printer: Printer, on_ask: OnAsk | None = None) -> Turn:
    turn = Turn()
    began = time.monotonic()
    async with aclosing(stream.events()) as found:
        async for seen in found:
            if turn.first_delta_ms is None and isinstance(seen.event, events.MessageDelta):
                turn.first_delta_ms = round((time.monotonic() - began) * 1000)
            turn.seen.append(seen)
            printer.show(seen)
            if isinstance(seen.event, events.HumanLoopRequested) and on_ask is not None:
                printer.end_line()
                await on_ask(seen.event, turn.worker_id)
    printer.end_line()
    return turn
