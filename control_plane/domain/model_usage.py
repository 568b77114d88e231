"""What a model call used, read from the provider's own words while they pass. Pure.

**Metered** is an answer that came to its end and said what it used: `message_delta` before
`message_stop`; `response.completed` or `response.incomplete`; the usage chunk before `[DONE]`; the
`usage` of an answer that is one JSON object. `input_tokens` are those that were not read from a
cache (what was written to one is among them), `cached_tokens` those that were; `output_tokens` hold
the `thought_tokens`, where a provider tells them apart.

**Estimated** is every other answer: what the provider had said until then stands, and the rest
is one token for every four bytes: of the request's body where no input was said, of the
text, thoughts and arguments that came where that is more than the output that was said.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from contracts.models import WireFormat
from control_plane.domain.event_stream import EventReader
from control_plane.domain.model_answers import Part, Said, Spent
from control_plane.domain.model_answers_messages import read_answer, read_event
from control_plane.domain.model_answers_openai import (
    read_chunk,
    read_completion,
    read_embeddings,
    read_response,
    read_responses_event,
)

BYTES_PER_TOKEN = 4
LONGEST_WHOLE = 32 * 1024 * 1024
"""Of an answer that is one JSON object; the usage of a longer one is estimated."""

STREAMED: Mapping[WireFormat, Callable[[bytes], Part]] = {
    "messages": read_event,
    "responses": read_responses_event,
    "chat": read_chunk,
}
WHOLE: Mapping[WireFormat, Callable[[bytes], Part | None]] = {
    "messages": read_answer,
    "responses": read_response,
    "chat": read_completion,
    "embeddings": read_embeddings,
}
"""None: it is not what was asked for."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    thought_tokens: int = 0


class Meter(Protocol):
    """Sees each part of an answer before it is passed on."""

    ended: bool
    """The answer is whole: its terminal event came."""
    failed: bool
    """It is whole, and says that the provider could not answer."""
    provider_id: str

    def feed(self, part: bytes) -> None: ...

    def end(self) -> None:
        """The body is over; whether the answer is whole is in `ended`."""
        ...

    @property
    def metered(self) -> bool: ...

    def usage(self) -> Usage: ...


def tokens_of(size: int) -> int:
    """Estimated, for so many bytes."""
    return -(-size // BYTES_PER_TOKEN)


def meter_for(wire_format: WireFormat, *, streamed: bool, request_bytes: int) -> Meter:
    """`streamed`: the answer is an event stream, whatever was asked for."""
    if streamed and wire_format != "embeddings":
        return StreamMeter(wire_format, request_bytes=request_bytes)
    return WholeMeter(wire_format, request_bytes=request_bytes)


class _Tally:
    """What was said so far; a later word about the same replaces the earlier one."""

    def __init__(self, request_bytes: int) -> None:
        self.ended = False
        self.failed = False
        self.provider_id = ""
        self._spent = Spent()
        self._final = False
        self._request_bytes = request_bytes
        self._text_bytes = 0

    @property
    def metered(self) -> bool:
        return self.ended and self._final

    def usage(self) -> Usage:
        spent = self._spent
        said = spent.input_tokens
        output = spent.output_tokens or 0
        if not self.metered:
            said = tokens_of(self._request_bytes) if said is None else said
            output = max(output, tokens_of(self._text_bytes))
        return Usage(
            input_tokens=said or 0,
            output_tokens=output,
            cached_tokens=spent.cached_tokens or 0,
            thought_tokens=spent.thought_tokens or 0,
        )

    def _take(self, part: Part) -> None:
        self.provider_id = self.provider_id or part.provider_id
        self._text_bytes += part.text_bytes
        self._spent = self._spent.then(part.spent)
        self._final = self._final or part.final
        if part.said is not Said.MORE:
            self.ended = True
            self.failed = part.said is Said.FAILED


class StreamMeter(_Tally):
    def __init__(self, wire_format: WireFormat, *, request_bytes: int) -> None:
        super().__init__(request_bytes)
        self._events = EventReader()
        self._read = STREAMED[wire_format]

    def feed(self, part: bytes) -> None:
        for data in self._events.feed(part):
            self._take(self._read(data))

    def end(self) -> None:
        for data in self._events.end():
            self._take(self._read(data))


class WholeMeter(_Tally):
    """A body that cannot be read as JSON is no whole answer: some servers end what they cut."""

    def __init__(self, wire_format: WireFormat, *, request_bytes: int) -> None:
        super().__init__(request_bytes)
        self._read = WHOLE[wire_format]
        self._body = bytearray()
        self._size = 0

    def feed(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= LONGEST_WHOLE:
            self._body += part
        else:
            self._body.clear()

    def end(self) -> None:
        if self._size > LONGEST_WHOLE:
            self.ended = True
            return
        part = self._read(bytes(self._body))
        self._body.clear()
        if part is not None:
            self._take(part)
