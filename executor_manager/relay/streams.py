"""What became of an agent's requests: which answers were cut though the agent was still there, and
which said no.

Agents hide both. The executor asks for them at the end of a turn and decides; see
`contracts.relay.RelayStreams`.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import msgspec

from contracts.relay import RelayStreams, StreamCut, StreamRefused

KEPT = 256
PATH_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as far as it is remembered: never with its query, nor with a byte of its body."""

    upstream: str
    path: str
    body_sha256: str = ""
    body_bytes: int = 0

    @property
    def place(self) -> tuple[str, str]:
        return self.upstream, self.path[:PATH_SHOWN]


@dataclass(frozen=True, slots=True)
class _Whole:
    """A whole answer with success, if no later one of its place was to a request as large."""

    number: int
    place: tuple[str, str]
    size: int


class Streams:
    """Of one worker, as long as it has a policy."""

    def __init__(self) -> None:
        self.open = 0
        self._last = 0
        self._cuts: deque[StreamCut] = deque(maxlen=KEPT)
        self._refused: deque[StreamRefused] = deque(maxlen=KEPT)
        self._whole: deque[_Whole] = deque(maxlen=KEPT)

    def cut(self, asked: Asked, *, by: Literal["upstream", "relay"]) -> None:
        upstream, path = asked.place
        self._cuts.append(
            StreamCut(
                number=self._next(),
                upstream=upstream,
                path=path,
                body_sha256=asked.body_sha256,
                cut_by=by,
            )
        )

    def refused(self, asked: Asked, status: int) -> None:
        """Whole, but an error."""
        upstream, path = asked.place
        self._refused.append(
            StreamRefused(
                number=self._next(),
                upstream=upstream,
                path=path,
                status=status,
                body_sha256=asked.body_sha256,
                body_bytes=asked.body_bytes,
            )
        )

    def answered(self, asked: Asked) -> None:
        """Whole, and with success."""
        for place, cut in enumerate(self._cuts):
            if (cut.upstream, cut.body_sha256) == (asked.upstream, asked.body_sha256):
                self._cuts[place] = msgspec.structs.replace(cut, answered_since=True)
        for place, refused in enumerate(self._refused):
            if (refused.upstream, refused.path) == asked.place:
                self._refused[place] = msgspec.structs.replace(refused, answered_since=True)
        new = _Whole(self._next(), asked.place, asked.body_bytes)
        kept = [old for old in self._whole if old.place != new.place or old.size > new.size]
        self._whole = deque([*kept, new], maxlen=KEPT)

    def told(self, boot: str, after: int) -> RelayStreams:
        return RelayStreams(
            boot=boot,
            open=self.open,
            last=self._last,
            cuts=[cut for cut in self._cuts if cut.number > after],
            refused=[
                msgspec.structs.replace(refused, larger_answered=self._larger(refused, after))
                for refused in self._refused
                if refused.number > after
            ],
        )

    def _larger(self, refused: StreamRefused, after: int) -> bool:
        return any(
            whole.size > refused.body_bytes
            for whole in self._whole
            if whole.place == (refused.upstream, refused.path) and whole.number > after
        )

    def _next(self) -> int:
        self._last += 1
        return self._last
