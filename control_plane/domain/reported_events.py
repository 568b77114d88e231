"""Which events, and what usage, are taken from an executor. Pure."""

from collections.abc import Callable

import msgspec

from contracts.events import (
    AnyEvent,
    MessageDelta,
    MessageStop,
    RunLog,
    RunWarning,
    ThoughtDelta,
    TodoUpdate,
    ToolCall,
    ToolResult,
    ToolUpdate,
    UsageUpdate,
    WorkerStep,
    WorkspaceProgress,
    WorkspaceRestored,
)
from control_plane.domain.words import countable, storable

REPORTABLE = (
    MessageDelta,
    MessageStop,
    ThoughtDelta,
    ToolCall,
    ToolUpdate,
    ToolResult,
    TodoUpdate,
    UsageUpdate,
    RunLog,
    RunWarning,
    WorkspaceProgress,
    WorkspaceRestored,
    WorkerStep,
)
"""A worker cannot speak for the control plane: no other event is taken from it."""

MAX_EVENT_BYTES = 1024 * 1024

REPORTED = "reported"
"""The source of usage that comes out of a session: an agent's own word, never `metered`."""

_decode_event: Callable[[bytes], AnyEvent] = msgspec.json.Decoder(AnyEvent).decode


def read(raw: bytes) -> AnyEvent | None:
    """None: it is none of REPORTABLE, or cannot be stored."""
    if len(raw) > MAX_EVENT_BYTES:
        return None
    try:
        raw.decode()  # what the decoder passes over is stored too
        event = _decode_event(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if isinstance(event, UsageUpdate) and event.source != REPORTED:
        return None
    return event if isinstance(event, REPORTABLE) else None


def booked(usage: UsageUpdate) -> UsageUpdate:
    """An agent may say anything of itself: what no column holds must not stop the finish."""
    return msgspec.structs.replace(
        usage,
        source=REPORTED,
        model=storable(usage.model),
        input_tokens=countable(usage.input_tokens),
        output_tokens=countable(usage.output_tokens),
        cached_tokens=countable(usage.cached_tokens),
        thought_tokens=countable(usage.thought_tokens),
    )
