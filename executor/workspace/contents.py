"""Contents on their way into packs: each only once, small ones sharing a frame.

A part of a new content says in which frame it is (`pack` is `NEW`, `offset` the frame's number)
until that frame has its place in a pack.
"""

from blake3 import blake3

from executor.workspace.former import Former
from snapshots.model import SHARED_BYTES, SMALL_BYTES, Part

NEW = -2
_SIZE = _START = _LENGTH = 32
"""Bits."""
_OFFSET = 64
_SIZE_MASK = (1 << _SIZE) - 1
_OFFSET_MASK = (1 << _OFFSET) - 1

Frame = list[bytes]
"""Its content, in pieces."""


class Contents:
    def __init__(self, former: Former) -> None:
        self._former = former
        self._known: dict[bytes, int] = {}
        """Hash → place, in one number: this has a member for each file."""
        self._recalled = False
        self._frames: list[Frame] = []
        self._closed = 0
        """Frames that were taken away."""
        self._shared: Frame | None = None
        self._shared_number = self._shared_bytes = 0
        self.waiting_bytes = 0

    def part_of(self, content: bytes) -> Part:
        """Where it is, or will be."""
        digest = blake3(content).digest()
        size = len(content)
        place = self._known.get(digest)
        if place is None and not self._recalled:
            self._recall()
            place = self._known.get(digest)
        if place is not None:
            return _part(digest, place)
        part = self._share(content, digest) if size <= SMALL_BYTES else self._own(content, digest)
        self._known[digest] = _place(part)
        return part

    def taken(self) -> list[Frame]:
        """What came since the last time."""
        frames, self._frames = self._frames, []
        self._closed += len(frames)
        self._shared = None
        self.waiting_bytes = 0
        return frames

    def _recall(self) -> None:
        """At the first content that may be new: a tree without any needs none of this."""
        self._recalled = True
        for item in self._former.contents():
            for part in item.parts:
                if not part.is_hole:
                    self._known.setdefault(part.hash, _place(part))

    def _share(self, content: bytes, digest: bytes) -> Part:
        if self._shared is None or self._shared_bytes + len(content) > SHARED_BYTES:
            self._shared, self._shared_bytes = [], 0
            self._shared_number = self._begin(self._shared)
        start = self._shared_bytes
        self._shared.append(content)
        self._shared_bytes += len(content)
        self.waiting_bytes += len(content)
        return Part(len(content), digest, NEW, self._shared_number, 0, start)

    def _own(self, content: bytes, digest: bytes) -> Part:
        self.waiting_bytes += len(content)
        return Part(len(content), digest, NEW, self._begin([content]))

    def _begin(self, frame: Frame) -> int:
        self._frames.append(frame)
        return self._closed + len(self._frames) - 1


def _place(part: Part) -> int:
    place = part.pack - NEW
    place = place << _OFFSET | part.offset
    place = place << _LENGTH | part.length
    place = place << _START | part.start
    return place << _SIZE | part.size


def _part(digest: bytes, place: int) -> Part:
    size, place = place & _SIZE_MASK, place >> _SIZE
    start, place = place & _SIZE_MASK, place >> _START
    length, place = place & _SIZE_MASK, place >> _LENGTH
    offset, pack = place & _OFFSET_MASK, place >> _OFFSET
    return Part(size, digest, pack + NEW, offset, length, start)
