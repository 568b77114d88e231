"""SSE frames, and the bounded ring of a stream's newest ones. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID

import msgspec

from contracts.events import RawLogEntry

_encode = msgspec.json.Encoder().encode
_seq = attrgetter("seq")


@dataclass(frozen=True, slots=True)
class Frame:
    seq: int
    run_id: UUID | None
    closes: bool
    """The run's last one."""
    data: bytes


def frame(entry: RawLogEntry, kind: str) -> Frame:
    """Encoded once, for all who see it."""
    body = _encode(entry)
    if b"\n" in body or b"\r" in body:
        # in JSON they stand between tokens only, where a blank is as good; in SSE they end a line
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    return Frame(
        seq=entry.seq,
        run_id=entry.run_id,
        closes=kind == "run.closed",
        data=b"id: %b\nevent: %b\ndata: %b\n\n" % (entry.id.encode(), kind.encode(), body),
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames joined for one send."""

    data: bytes
    position: int
    """All up to here is sent or is not for this reader."""
    closed: bool


def join(frames: Sequence[Frame], run_id: UUID | None, *, position: int, size: int) -> Chunk:
    """Takes what is for `run_id` (None: everything) until `size` bytes or the run's end."""
    taken: list[bytes] = []
    total = 0
    for one in frames:
        position = one.seq
        if run_id is not None and one.run_id != run_id:
            continue
        taken.append(one.data)
        total += len(one.data)
        if one.closes and run_id is not None:
            return Chunk(b"".join(taken), position, closed=True)
        if total >= size:
            break
    return Chunk(b"".join(taken), position, closed=False)


class Ring:
    """Everything of the stream in (`floor`, `head`].

    Frames that all readers have passed go once `easy` bytes are reached; `count` and `size` are the
    bounds that hold whoever is behind. The newest frame stays, however large.
    """

    def __init__(self, head: int, *, count: int, size: int, easy: int) -> None:
        self.floor = head
        self.head = head
        self._frames: list[Frame] = []
        self._size = 0
        self._max_count = count
        self._max_size = size
        self._easy = easy

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> int:
        return self._size

    @property
    def roomy(self) -> bool:
        return self._size <= self._easy and len(self._frames) <= self._max_count

    def append(self, frames: Sequence[Frame]) -> None:
        self._frames.extend(frames)
        self._size += sum(len(one.data) for one in frames)
        self.head = self._frames[-1].seq if self._frames else self.head

    def after(self, position: int) -> Sequence[Frame]:
        return self._frames[bisect_right(self._frames, position, key=_seq) :]

    def trim(self, passed: int) -> None:
        """`passed`: the position that the slowest reader has reached."""
        size, drop = self._size, 0
        while drop < len(self._frames) - 1:
            oldest = self._frames[drop]
            over = size > self._max_size or len(self._frames) - drop > self._max_count
            if not over and (oldest.seq > passed or size <= self._easy):
                break
            size -= len(oldest.data)
            drop += 1
        if drop:
            self.floor = self._frames[drop - 1].seq
            self._size = size
            del self._frames[:drop]
