"""Deltas are joined, never reordered, never older than 50 ms."""

from contracts.events import (
    Event,
    MessageDelta,
    MessageStop,
    ThoughtDelta,
    ToolUpdate,
)
from executor.agents.coalesce import MAX_AGE, MAX_LENGTH, Coalescer


def delta(text: str, message_id: str = "m") -> MessageDelta:
    return MessageDelta(message_id=message_id, text=text)


def feed(coalescer: Coalescer, *events: Event, now: float = 0.0) -> list[Event]:
    return [ready for event in events for ready in coalescer.add(event, now=now)]


def test_joined__until_due() -> None:
    coalescer = Coalescer()
    assert feed(coalescer, delta("a"), delta("b")) == []
    assert coalescer.due == MAX_AGE
    assert feed(coalescer, delta("c"), now=MAX_AGE) == [delta("abc")]
    assert coalescer.due is None


def test_joined__until_long() -> None:
    coalescer = Coalescer()
    assert feed(coalescer, delta("a"), delta("b" * MAX_LENGTH)) == [delta("a" + "b" * MAX_LENGTH)]


def test_order__anything_else_comes_after() -> None:
    coalescer = Coalescer()
    stop = MessageStop(message_id="m", text="ab")
    thought = ThoughtDelta(message_id="m", text="c")
    events = feed(coalescer, delta("a"), delta("b"), stop, thought, delta("d"), delta("e", "n"))
    assert [*events, *coalescer.flush()] == [
        delta("ab"),
        stop,
        thought,
        delta("d"),
        delta("e", "n"),
    ]


def test_tool_output__joined_only_if_it_is_all() -> None:
    coalescer = Coalescer()
    first = ToolUpdate(call_id="t", output_delta="a")
    second = ToolUpdate(call_id="t", output_delta="b")
    titled = ToolUpdate(call_id="t", output_delta="c", title="new")
    events = feed(coalescer, first, second, titled)
    assert events == [ToolUpdate(call_id="t", output_delta="ab"), titled]
