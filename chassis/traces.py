"""W3C trace context: which span is current, as ids and as the header that carries them."""

import os
import re
from collections.abc import Mapping
from typing import Protocol, Self

import msgspec

AttributeValue = str | bool | int | float

_HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class TraceContext(msgspec.Struct, frozen=True):
    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    recorded: bool = False

    @classmethod
    def new(cls, parent: Self | None) -> Self:
        return cls(parent.trace_id if parent else os.urandom(16).hex(), os.urandom(8).hex())

    @classmethod
    def of_header(cls, header: str | None) -> Self | None:
        """None for one that cannot be read."""
        found = _HEADER.fullmatch(header or "")
        if found is None or (found[3] and found[0].startswith("00")):
            return None
        trace_id, span_id = found[1], found[2]
        if not trace_id.strip("0") or not span_id.strip("0"):
            return None
        return cls(trace_id, span_id)

    @property
    def header(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.recorded else '00'}"


class Span(Protocol):
    def update_name(self, name: str) -> None: ...

    def set_attribute(self, key: str, value: AttributeValue) -> None: ...


class OpenSpan(Span, Protocol):
    @property
    def context(self) -> TraceContext: ...

    def end(self, error: BaseException | None) -> None: ...


class Recorder(Protocol):
    """Where spans are kept."""

    def begin(
        self, name: str, attributes: Mapping[str, AttributeValue], parent: TraceContext | None
    ) -> OpenSpan: ...

    def close(self) -> None:
        """Exports what is still held back."""
        ...


class Unrecorded:
    """Its ids are made, and nothing else."""

    def begin(
        self, name: str, attributes: Mapping[str, AttributeValue], parent: TraceContext | None
    ) -> OpenSpan:
        del name, attributes
        return _Unkept(TraceContext.new(parent))

    def close(self) -> None:
        return


class _Unkept:
    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def update_name(self, name: str) -> None:
        del name

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        del key, value

    def end(self, error: BaseException | None) -> None:
        del error
