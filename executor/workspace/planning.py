"""What a restore has to do, from one look at the manifest: which frames to fetch, and for what.

All of the manifest is checked by that, before anything is written. For each small file a few dozen
bytes are kept, encoded, with the frame that it needs.
"""

from collections.abc import Iterator

import msgspec

from executor.workspace.reusing import Reusable
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind, Part

GAP_BYTES = 256 * 1024
"""Between frames that are fetched in one request."""
STRETCH_BYTES = 8 * 1024 * 1024
"""In one request, where not the whole pack is wanted; one frame can be more."""
WHOLE_FROM = 2
"""A pack is fetched whole if at least one part in so many of it is needed,"""
WHOLE_BYTES = 16 * 1024 * 1024
"""and it is no larger: those of format 1 had up to 32 MiB."""


class Job(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part to be written. `at` is its offset; None: it is all of a file, which is made here."""

    path: bytes
    mode: int
    mtime_ns: int
    size: int
    hash: bytes
    start: int
    at: int | None = None

    @property
    def part(self) -> Part:
        return Part(self.size, self.hash, 0, 0, 0, self.start)


class Needed(msgspec.Struct):
    """A frame, and what is to be made of it."""

    offset: int
    length: int
    jobs: bytearray
    count: int = 0
    bytes: int = 0
    """Of the jobs."""


class Load(msgspec.Struct, frozen=True):
    """One request: frames that lie close together in a pack."""

    key: str
    offset: int
    length: int
    whole: bool
    frames: list[Needed]


_encoder = msgspec.msgpack.Encoder()
_jobs = msgspec.msgpack.Decoder(list[Job])
_ARRAY = b"\xdd"
"""MessagePack: what follows in four bytes is how many members an array has."""


class Plan:
    """Raises `Unusable`."""

    def __init__(self, manifest: Manifest, reusable: Reusable) -> None:
        self.directories: list[Item] = []
        self.empty: list[Item] = []
        """Files without content."""
        self.pieced: list[Item] = []
        """Files of several parts, without them."""
        self.reused: list[Item] = []
        """Files that are taken from the tree that is there, without their parts."""
        self.has_links = self.has_twins = False
        self._packs = manifest.packs
        self._needed: dict[int, dict[int, Needed]] = {}
        for item in manifest.items():
            self._add(item, reusable)

    @property
    def keys(self) -> list[str]:
        """Of the packs that are needed."""
        return [self._packs[number].key for number in sorted(self._needed)]

    def loads(self) -> Iterator[Load]:
        for number in sorted(self._needed):
            pack = self._packs[number]
            frames = sorted(self._needed.pop(number).values(), key=lambda frame: frame.offset)
            needed = sum(frame.length for frame in frames)
            if needed * WHOLE_FROM >= pack.length and pack.length <= WHOLE_BYTES:
                yield Load(pack.key, 0, pack.length, whole=True, frames=frames)
                continue
            for close in _close_together(frames):
                start, end = close[0].offset, close[-1].offset + close[-1].length
                yield Load(pack.key, start, end - start, whole=False, frames=close)

    def _add(self, item: Item, reusable: Reusable) -> None:
        match item.kind:
            case Kind.DIRECTORY:
                self.directories.append(item)
            case Kind.LINK:
                self.has_links = True
            case Kind.TWIN:
                self.has_twins = True
            case Kind.FILE:
                self._add_file(item, reusable)

    def _add_file(self, item: Item, reusable: Reusable) -> None:
        if reusable.has(item):
            self.reused.append(_bare(item))
        elif not item.parts:
            self.empty.append(item)
        elif len(item.parts) == 1 and not item.parts[0].is_hole:
            self._need(item, item.parts[0], None)
        else:
            self.pieced.append(_bare(item))
            at = 0
            for part in item.parts:
                if not part.is_hole:
                    self._need(item, part, at)
                at += part.size

    def _need(self, item: Item, part: Part, at: int | None) -> None:
        frames = self._needed.setdefault(part.pack, {})
        frame = frames.get(part.offset)
        if frame is None:
            frame = frames[part.offset] = Needed(part.offset, part.length, bytearray())
        job = Job(item.path, item.mode, item.mtime_ns, part.size, part.hash, part.start, at)
        frame.jobs += _encoder.encode(job)
        frame.count += 1
        frame.bytes += part.size


def jobs_of(frame: Needed) -> list[Job]:
    return _jobs.decode(_ARRAY + frame.count.to_bytes(4, "big") + frame.jobs)


def _close_together(frames: list[Needed]) -> Iterator[list[Needed]]:
    close = [frames[0]]
    for frame in frames[1:]:
        end = close[-1].offset + close[-1].length
        if frame.offset - end > GAP_BYTES or frame.offset - close[0].offset > STRETCH_BYTES:
            yield close
            close = []
        close.append(frame)
    yield close


def _bare(item: Item) -> Item:
    return Item(item.path, item.kind, item.mode, item.mtime_ns, item.size)
