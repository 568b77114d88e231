"""Joins text deltas before they are stored: at most 50 ms old or 4 KiB long, never reordered."""

from contracts.events import Event, MessageDelta, ThoughtDelta, ToolUpdate

MAX_AGE = 0.050
MAX_LENGTH = 4096
"""Characters."""

Delta = MessageDelta | ThoughtDelta | ToolUpdate


class Coalescer:
    """The caller brings the time, in seconds of any steady clock."""

    def __init__(self) -> None:
        self._held: Delta | None = None
        self._parts: list[str] = []
        self._length = 0
        self._due = 0.0

    def add(self, event: Event, *, now: float) -> list[Event]:
        """The events that are ready, in order."""
        ready: list[Event] = []
        text = _text_of(event)
        if self._held is not None and (text is None or not _continues(self._held, event)):
            ready += self.flush()
        if text is None or not isinstance(event, Delta):
            return [*ready, event]
        if self._held is None:
            self._held, self._due = event, now + MAX_AGE
        self._parts.append(text)
        self._length += len(text)
        if self._length >= MAX_LENGTH or now >= self._due:
            ready += self.flush()
        return ready

    @property
    def due(self) -> float | None:
        """When to flush at the latest; None while nothing is held."""
        return self._due if self._held is not None else None

    def flush(self) -> list[Event]:
        held = self._held
        if held is None:
            return []
        text = "".join(self._parts)
        self._held, self._parts, self._length = None, [], 0
        if isinstance(held, ToolUpdate):
            return [ToolUpdate(call_id=held.call_id, output_delta=text)]
        return [type(held)(message_id=held.message_id, text=text)]


def _text_of(event: Event) -> str | None:
    """The text, if that is all the event says."""
    if isinstance(event, MessageDelta | ThoughtDelta):
        return event.text
    if isinstance(event, ToolUpdate) and event == ToolUpdate(
        call_id=event.call_id, output_delta=event.output_delta
    ):
        return event.output_delta
    return None


def _continues(held: Delta, event: Event) -> bool:
    if isinstance(held, ToolUpdate):
        return isinstance(event, ToolUpdate) and event.call_id == held.call_id
    return (
        isinstance(event, MessageDelta | ThoughtDelta)
        and type(event) is type(held)
        and event.message_id == held.message_id
    )
