"""Reads a tar archive as it comes, in pieces of any size; headers are the standard library's to
read, what follows them is ours.

POSIX and GNU long names, sizes in base 256; no sparse files, which nobody needs to upload.
"""

import enum
import re
import tarfile
from collections.abc import Callable

import msgspec

BLOCK = 512
LONGEST_EXTENSION = 128 * 1024
"""Of a long name, or of a POSIX extended header; and of all that stand before one member."""

SECOND = 1_000_000_000
FURTHEST = 1 << 33
"""Seconds, before and after the epoch."""

_TIME = re.compile(rb"(?P<whole>-?[0-9]{1,10})(?:\.(?P<fraction>[0-9]{1,30}))?")
_SKIPPED = frozenset({tarfile.XGLTYPE})
_LONG_NAME, _LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_EXTENDED = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})


class TarRefused(Exception):
    """What is wrong with the archive, or with the entry that `name` names."""

    def __init__(self, expected: str, name: bytes = b"") -> None:
        super().__init__(expected)
        self.expected = expected
        self.name = name


class MemberKind(enum.Enum):
    FILE = enum.auto()
    DIRECTORY = enum.auto()
    LINK = enum.auto()
    TWIN = enum.auto()
    """A hard link."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    name: bytes
    kind: MemberKind
    mode: int
    mtime: float
    mtime_ns: int
    size: int
    target: bytes


_KINDS = {
    tarfile.REGTYPE: MemberKind.FILE,
    tarfile.AREGTYPE: MemberKind.FILE,
    tarfile.CONTTYPE: MemberKind.FILE,
    tarfile.DIRTYPE: MemberKind.DIRECTORY,
    tarfile.SYMTYPE: MemberKind.LINK,
    tarfile.LNKTYPE: MemberKind.TWIN,
}


class TarStream:
    """`begin` is called with each member, `content` with a file's bytes, `end` behind them."""

    def __init__(
        self,
        begin: Callable[[Member], None],
        content: Callable[[memoryview], None],
        end: Callable[[], None],
    ) -> None:
        self._begin, self._content, self._end = begin, content, end
        self._block = bytearray()
        self._left = 0
        """Of the present file, or extension."""
        self._padding = 0
        self._extension: tuple[bytes, bytearray] | None = None
        self._fields: dict[bytes, bytes] = {}
        """Of the next member: they came before it."""
        self._extensions = 0
        """Their bytes."""
        self._over = False

    def feed(self, chunk: bytes) -> None:
        """Raises `TarRefused`, and what the callbacks raise."""
        rest = memoryview(chunk)
        while rest and not self._over:
            if self._left:
                rest = self._taken(rest)
            elif self._padding:
                skipped = min(self._padding, len(rest))
                self._padding -= skipped
                rest = rest[skipped:]
            else:
                needed = BLOCK - len(self._block)
                self._block += rest[:needed]
                rest = rest[needed:]
                if len(self._block) == BLOCK:
                    header, self._block = bytes(self._block), bytearray()
                    self._header(header)

    def finish(self) -> None:
        """Raises `TarRefused` where something is missing."""
        if self._left or self._padding or self._block or self._fields:
            raise TarRefused("a whole tar archive: this one ends in the middle")
        if not self._over:
            raise TarRefused("a tar archive with its two empty blocks at the end")

    def _taken(self, rest: memoryview) -> memoryview:
        piece = rest[: self._left]
        self._left -= len(piece)
        if self._extension is not None:
            self._extension[1].extend(piece)
            if not self._left:
                self._extended()
        else:
            self._content(piece)
            if not self._left:
                self._end()
        return rest[len(piece) :]

    def _header(self, header: bytes) -> None:
        if not any(header):
            self._over = True
            return
        try:
            found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise TarRefused("a tar archive, not compressed") from error
        size = found.size
        if found.type in _EXTENDED | _SKIPPED | {_LONG_NAME, _LONG_LINK}:
            self._extensions += size
            if not 0 < size <= LONGEST_EXTENSION >= self._extensions:
                raise TarRefused(f"extended headers of at most {LONGEST_EXTENSION} bytes")
            self._extension = (found.type, bytearray())
            self._expect(size)
            return
        self._member(found)

    def _member(self, found: tarfile.TarInfo) -> None:
        fields, self._fields, self._extensions = self._fields, {}, 0
        name = fields.get(b"path", _bytes(found.name)).rstrip(b"/")
        kind = _KINDS.get(found.type)
        if kind is None or any(key.startswith(b"GNU.sparse") for key in fields):
            raise TarRefused("files, directories and links only", name)
        size = _number(fields.get(b"size"), found.size) if kind is MemberKind.FILE else 0
        if size < 0:
            raise TarRefused("a size that is one", name)
        mtime_ns = _nanoseconds(fields.get(b"mtime"), found.mtime)
        self._begin(
            Member(
                name=name,
                kind=kind,
                mode=found.mode,
                mtime=mtime_ns / SECOND,
                mtime_ns=mtime_ns,
                size=size,
                target=fields.get(b"linkpath", _bytes(found.linkname)),
            )
        )
        if kind is MemberKind.FILE:
            self._expect(size)
            if not size:
                self._end()

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _extended(self) -> None:
        assert self._extension is not None  # noqa: S101  # its content was just taken
        kind, content = self._extension
        self._extension = None
        if kind == _LONG_NAME:
            self._fields[b"path"] = bytes(content).rstrip(b"\0")
        elif kind == _LONG_LINK:
            self._fields[b"linkpath"] = bytes(content).rstrip(b"\0")
        elif kind in _EXTENDED:
            self._fields.update(_records(bytes(content)))


def _records(content: bytes) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n`, one after the other."""
    found: dict[bytes, bytes] = {}
    while content and content[0] != 0:
        length_text, _, _ = content.partition(b" ")
        if not (length_text.isdigit() and len(length_text) < 10):
            raise TarRefused("extended headers that can be read")
        length = int(length_text)
        record = content[len(length_text) + 1 : length]
        key, equals, value = record.partition(b"=")
        if length <= len(length_text) or not equals or not value.endswith(b"\n"):
            raise TarRefused("extended headers that can be read")
        found[key] = value[:-1]
        content = content[length:]
    return found


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _number(text: bytes | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    return int(text) if text.isdigit() and len(text) < 20 else -1


def _nanoseconds(text: bytes | None, otherwise: float) -> int:
    """All that are told. What is no time, or of no age, is that of the epoch."""
    whole, fraction = int(otherwise) if abs(otherwise) < FURTHEST else 0, 0
    found = None if text is None else _TIME.fullmatch(text)
    if found is not None:
        digits = (found["fraction"] or b"")[:9].ljust(9, b"0")
        whole, fraction = abs(int(found["whole"])), int(digits)
        if found["whole"].startswith(b"-"):
            whole, fraction = -whole, -fraction
    return whole * SECOND + fraction
