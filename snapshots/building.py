"""A tree that comes from outside, entry by entry, becomes packs and a manifest.

Nothing is believed of it. Entries come in the order of paths: so none can come twice, none can lie
beneath a link or a file, and memory stays flat. Nothing is written anywhere.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
from blake3 import blake3

from snapshots.content import Framer
from snapshots.errors import BadPath, Unusable
from snapshots.manifest import Limits, Manifest, ManifestWriter
from snapshots.model import (
    FRAME_BYTES,
    PACK_BYTES,
    SHARED_BYTES,
    SMALL_BYTES,
    Item,
    Kind,
    Pack,
    Part,
    Skipped,
    Totals,
)
from snapshots.paths import MEMORY, order, parts_of

WAITING_ITEMS = 2000
"""Entries that stand behind small files whose frame is not full yet."""
MOST_TWINS = 200_000
MOST_TWINS_BYTES = 64 * 1024 * 1024
"""Of their paths and their targets', which are kept to the end."""
TARGET_BYTES = 4096
MADE_MODE = 0o755
"""Of directories that no entry names."""


class EntryRefused(Exception):
    """`rule` is a stable word; `expected` says what would be right."""

    def __init__(self, rule: str, expected: str, path: bytes = b"") -> None:
        super().__init__(f"{rule}: {path[:300]!r}: {expected}")
        self.rule = rule
        self.expected = expected
        self.path = path


class MadePack(msgspec.Struct, frozen=True):
    number: int
    """In the manifest."""
    content: bytes


class _Waiting(NamedTuple):
    """An item in line; the stretch of the shared content that is its own."""

    item: Item
    start: int = 0
    size: int = 0
    hash: bytes = b""


class TreeBuilder:
    """`begin`, then `content` and `end` for files; `finish`; then `stored` once. All raise
    `EntryRefused`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._framer = Framer()
        self._manifest = ManifestWriter()
        self._former: dict[Pack, int] = {}
        self._pack = bytearray()
        self._made: list[MadePack] = []
        self._count = 0
        self._shared = bytearray()
        self._waiting: list[_Waiting] = []
        self._place: list[bytes] = []
        self._above: list[bytes] = []
        self._solid: bytes | None = None
        """The last entry, if nothing can lie beneath it."""
        self._items = self._bytes = 0
        self._twins: dict[bytes, bytes] = {}
        self._twins_bytes = 0
        self._open: Item | None = None
        self._piece = bytearray()
        self._parts: list[Part] = []

    @property
    def totals(self) -> Totals:
        return self._manifest.totals

    def adopt(self, item: Item, packs: list[Pack]) -> None:
        """Of a former snapshot, first of all: its bytes stay where they are."""
        parts = tuple(self._adopted(part, packs) for part in item.parts)
        self._manifest.add(msgspec.structs.replace(item, parts=parts))
        self._place = order(item.path)
        self._items += 1
        self._bytes += item.size

    def begin(self, item: Item) -> None:
        """Its path, kind, mode, time, target and size; its parts are made here."""
        self._check_place(item)
        self._make_above(item.path)
        self._check_kind(item)
        self._account(item.path, item.size)
        self._place = order(item.path)
        self._solid = None if item.kind is Kind.DIRECTORY else item.path
        if item.kind is Kind.DIRECTORY:
            self._above.append(item.path)
        if item.kind is Kind.FILE and item.size:
            self._open, self._parts = item, []
        else:
            self._add(_Waiting(item))

    def content(self, piece: bytes | memoryview) -> None:
        """Of the present file."""
        assert self._open is not None  # noqa: S101  # who reads the archive knows its sizes
        self._piece += piece
        if self._open.size > SMALL_BYTES:
            while len(self._piece) >= FRAME_BYTES:
                self._lay(self._piece[:FRAME_BYTES])
                del self._piece[:FRAME_BYTES]

    def end(self) -> None:
        if self._open is None:
            return
        item, self._open = self._open, None
        if item.size > SMALL_BYTES:
            if self._piece:
                self._lay(self._piece)
            self._add(_Waiting(msgspec.structs.replace(item, parts=tuple(self._parts))))
        else:
            start = len(self._shared)
            self._shared += self._piece
            self._add(_Waiting(item, start, item.size, blake3(self._piece).digest()))
        self._piece = bytearray()

    def full(self) -> list[MadePack]:
        """Those that were filled since; they are the caller's now."""
        made, self._made = self._made, []
        return made

    def finish(self) -> None:
        """No entry comes any more; `full` has the rest."""
        self._close_shared()
        if self._pack:
            self._close_pack()

    def stored(self, keys: dict[int, Pack]) -> bytes:
        """The manifest. `keys`: of every pack that was made."""
        made = [keys[number] for number in range(len(self._former), self._count)]
        with _fitting():
            stored = self._manifest.finish([*self._former, *made], _NONE)
        self._check_twins(stored)
        return stored

    # --- what may come ----------------------------------------------------------------------------

    def _check_place(self, item: Item) -> None:
        path = item.path
        try:
            parts = parts_of(path)
        except BadPath:
            expected = "a relative path without '.', '..', empty parts or names beyond 255 bytes"
            raise EntryRefused("path", expected, path) from None
        if parts[0] == MEMORY:
            raise EntryRefused("reserved", "nothing of .berth, which is Berth's own", path)
        place = order(path)
        if place == self._place:
            raise EntryRefused("duplicate", "each path once", path)
        if place < self._place:
            expected = "paths in order, as of `tar --sort=name`, each once"
            raise EntryRefused("order", expected, path)

    def _make_above(self, path: bytes) -> None:
        """The directories that lead to it, where no entry did."""
        if self._solid is not None and path.startswith(self._solid + b"/"):
            raise EntryRefused("beneath", f"a directory, not {self._solid[:300]!r}, above it", path)
        while self._above and not path.startswith(self._above[-1] + b"/"):
            self._above.pop()
        known = len(self._above[-1].split(b"/")) if self._above else 0
        parts = path.split(b"/")
        for depth in range(known + 1, len(parts)):
            made = b"/".join(parts[:depth])
            self._account(made, 0)
            self._above.append(made)
            self._add(_Waiting(Item(made, Kind.DIRECTORY, MADE_MODE, 0)))

    def _check_kind(self, item: Item) -> None:
        if item.kind is Kind.LINK and not (
            0 < len(item.target) <= TARGET_BYTES and b"\0" not in item.target
        ):
            raise EntryRefused("link", f"a target of 1 to {TARGET_BYTES} bytes", item.path)
        if item.kind is Kind.TWIN:
            try:
                parts_of(item.target)
            except BadPath:
                raise EntryRefused("hard_link", "a file of the tree", item.path) from None
            if order(item.target) >= order(item.path):
                raise EntryRefused("hard_link", "a file that came before it", item.path)
            self._twins_bytes += len(item.path) + len(item.target)
            if len(self._twins) >= MOST_TWINS or self._twins_bytes > MOST_TWINS_BYTES:
                most = f"at most {MOST_TWINS} hard links, with {MOST_TWINS_BYTES} bytes of paths"
                raise EntryRefused("too_many", most, item.path)
            self._twins[item.path] = item.target

    def _account(self, path: bytes, size: int) -> None:
        self._items += 1
        self._bytes += size
        if self._items > self._limits.max_items:
            most = f"at most {self._limits.max_items} entries"
            raise EntryRefused("too_many", most, path)
        if size < 0 or self._bytes > self._limits.max_bytes:
            most = f"at most {self._limits.max_bytes} bytes in all"
            raise EntryRefused("too_large", most, path)

    def _check_twins(self, stored: bytes) -> None:
        """Each is another name of a file; whatever else is there cannot be linked."""
        if not self._twins:
            return
        wanted = set(self._twins.values())
        for item in Manifest(stored, self._limits).items():
            if item.kind is Kind.FILE:
                wanted.discard(item.path)
        for path, target in self._twins.items():
            if target in wanted:
                raise EntryRefused("hard_link", "a file of the tree as its target", path)

    # --- frames and packs -------------------------------------------------------------------------

    def _adopted(self, part: Part, packs: list[Pack]) -> Part:
        if part.is_hole:
            return part
        number = self._former.setdefault(packs[part.pack], len(self._former))
        self._count = len(self._former)
        return msgspec.structs.replace(part, pack=number)

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if len(self._shared) >= SHARED_BYTES or len(self._waiting) >= WAITING_ITEMS:
            self._close_shared()

    def _close_shared(self) -> None:
        offset, length = self._put(self._shared) if self._shared else (0, 0)
        number = self._count
        with _fitting():
            for item, start, size, digest in self._waiting:
                if size:
                    part = Part(size, digest, number, offset, length, start)
                    self._manifest.add(msgspec.structs.replace(item, parts=(part,)))
                else:
                    self._manifest.add(item)
        self._waiting, self._shared = [], bytearray()
        self._close_full()

    def _lay(self, piece: bytearray) -> None:
        """One piece of a large file; what is all zeros is a hole."""
        if piece.count(0) == len(piece):
            self._parts.append(Part(len(piece)))
            return
        offset, length = self._put(piece)
        digest = blake3(piece).digest()
        self._parts.append(Part(len(piece), digest, self._count, offset, length))
        self._close_full()

    def _put(self, content: bytearray) -> tuple[int, int]:
        frame = self._framer.frame(content)
        offset = len(self._pack)
        self._pack += frame
        return offset, len(frame)

    def _close_full(self) -> None:
        if len(self._pack) >= PACK_BYTES:
            self._close_pack()

    def _close_pack(self) -> None:
        self._made.append(MadePack(self._count, bytes(self._pack)))
        self._count += 1
        self._pack = bytearray()


@contextmanager
def _fitting() -> Generator[None]:
    try:
        yield
    except Unusable as error:
        raise EntryRefused("too_many", f"fewer or smaller entries: {error.detail}") from error


_NONE: list[Skipped] = []
