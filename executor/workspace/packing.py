"""Frames are compressed and laid into packs; entries get their places and go into the manifest.

Batches come in the order of the walk. A pack's key is known when it is uploaded, its number in the
manifest when an entry first needs it: so a tree that did not change numbers its packs as before.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from uuid import UUID

import msgspec

from executor.workspace.contents import NEW, Frame
from executor.workspace.errors import SaveFailed
from executor.workspace.index import Entry, IndexedPack, IndexWriter
from executor.workspace.reading import Batch
from snapshots.content import Framer
from snapshots.errors import Unusable
from snapshots.manifest import ManifestWriter
from snapshots.model import PACK_BYTES, Item, Pack, Part, Skipped


class FullPack(msgspec.Struct):
    """A new one: with its content until that is uploaded, then with its key."""

    number: int
    """Among the new ones."""
    content: bytearray
    length: int = 0
    contains: int = 0
    """Bytes of files."""
    key: str = ""


class _Place(msgspec.Struct, frozen=True, gc=False):
    pack: int
    """Among the new ones."""
    offset: int
    length: int


class _Named(msgspec.Struct):
    """A pack that the manifest names."""

    new: FullPack | None
    former: IndexedPack | None
    named: int = 0


def compressed(frames: list[Frame]) -> list[bytes]:
    framer = Framer()
    return [framer.frame(frame[0] if len(frame) == 1 else b"".join(frame)) for frame in frames]


class Packer:
    """For one save; not for two threads at once."""

    def __init__(self, former: list[IndexedPack], index: IndexWriter) -> None:
        self._former = former
        self._index = index
        self._manifest = ManifestWriter()
        self._places: list[_Place] = []
        self._open = FullPack(0, bytearray())
        self._new = [self._open]
        self._named: list[_Named] = []
        self._numbers: dict[int, int] = {}
        """Former pack, or `-1 - new one` → its number in the manifest."""

    def take(self, batch: Batch, frames: list[bytes]) -> list[FullPack]:
        """The packs that are full by it, to be uploaded. Raises `SaveFailed`."""
        full: list[FullPack] = []
        for raw, frame in zip(batch.frames, frames, strict=True):
            self._places.append(_Place(self._open.number, len(self._open.content), len(frame)))
            self._open.content += frame
            self._open.contains += sum(map(len, raw))
            if len(self._open.content) >= PACK_BYTES:
                full.append(self._close())
        with _fitting():
            for entry in batch.entries:
                self._add(entry)
        return full

    def last(self) -> FullPack | None:
        return self._close() if self._open.content else None

    @property
    def totals(self) -> tuple[int, int]:
        """Files and their bytes."""
        totals = self._manifest.totals
        return totals.files, totals.bytes

    def stored(self, skipped: list[Skipped]) -> bytes:
        """The manifest, when every pack has its key. Raises `SaveFailed`."""
        packs = [Pack(pack.key, pack.length) for pack in self._indexed()]
        with _fitting():
            return self._manifest.finish(packs, skipped)

    def keys(self) -> list[str]:
        return [pack.key for pack in self._indexed()]

    def finish_index(self, snapshot_id: UUID, settled_ns: int) -> None:
        self._index.finish(snapshot_id, settled_ns, self._indexed())

    def _close(self) -> FullPack:
        full = self._open
        full.length = len(full.content)
        self._open = FullPack(full.number + 1, bytearray())
        self._new.append(self._open)
        return full

    def _add(self, entry: Entry) -> None:
        item = entry.item
        if item.parts:
            placed = tuple(map(self._placed, item.parts))
            if placed != item.parts:
                item = _with(item, placed)
                entry = Entry(item, entry.dev, entry.ino, entry.ctime_ns, entry.quiet)
        self._manifest.add(item)
        self._index.add(entry)

    def _placed(self, part: Part) -> Part:
        if part.is_hole:
            return part
        if part.pack == NEW:
            place = self._places[part.offset]
            number = self._number(-1 - place.pack, lambda: _Named(self._new[place.pack], None))
            self._named[number].named += part.size
            return Part(part.size, part.hash, number, place.offset, place.length, part.start)
        number = self._numbers.get(part.pack)
        if number is None:
            number = self._number(part.pack, lambda: _Named(None, self._former[part.pack]))
        self._named[number].named += part.size
        if number == part.pack:
            return part
        return Part(part.size, part.hash, number, part.offset, part.length, part.start)

    def _number(self, pack: int, named: Callable[[], _Named]) -> int:
        number = self._numbers.get(pack)
        if number is None:
            number = self._numbers[pack] = len(self._named)
            self._named.append(named())
        return number

    def _indexed(self) -> list[IndexedPack]:
        return [_indexed(pack) for pack in self._named]


@contextmanager
def _fitting() -> Generator[None]:
    """Before it is known by the store: what could not be read again must not become the head."""
    try:
        yield
    except Unusable as error:
        what = f"{error.detail}: remove some files, or leave some out with .berthignore"
        raise SaveFailed("too_many_entries", what) from error


def _indexed(pack: _Named) -> IndexedPack:
    if pack.new is not None:
        new = pack.new
        return IndexedPack(new.key, new.length, new.contains, pack.named)
    assert pack.former is not None  # noqa: S101  # it is one or the other
    former = pack.former
    return IndexedPack(former.key, former.length, former.content, pack.named)


def _with(item: Item, parts: tuple[Part, ...]) -> Item:
    return Item(
        item.path,
        item.kind,
        item.mode,
        item.mtime_ns,
        item.size,
        parts,
        item.target,
        item.changed,
    )
