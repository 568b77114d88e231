"""What a push says it will change, read from the head of its body while that passes. Pure.

A body begins with one line for each ref, `OLD NEW REF`, each after its length in four hexadecimal
digits, and an empty line (`0000`); the pack follows. git asks with the empty line alone whether it
may push at all.
"""

import re
import zlib

import msgspec

LONGEST_HEAD = 64 * 1024
"""Of what is read, packed or not; refs beyond it go unnamed. Whoever reads it keeps no more back:
what is packed can say nothing for ever.
"""
MOST_REFS = 100
LONGEST_REF = 300

_ID = rb"([0-9a-f]{40}|[0-9a-f]{64})"
_LINE = re.compile(_ID + rb" " + _ID + rb" ([^\x00\n]+)", re.IGNORECASE)
_SIZE = re.compile(rb"[0-9a-f]{4}", re.IGNORECASE)
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_EITHER = zlib.MAX_WBITS | 32
"""gzip or zlib, as it says itself."""


class PushedRef(msgspec.Struct, frozen=True, kw_only=True):
    ref: str
    old: str
    new: str
    """All zeros: it is removed."""


class PushHead:
    """`read`: all of it was seen. It is fed until then, and changes nothing of what passes."""

    def __init__(self, packing: str = "") -> None:
        self.refs: list[PushedRef] = []
        self.read = False
        self._ended = False
        """As it should."""
        self._lines = 0
        self._unpacked = zlib.decompressobj(_EITHER) if packing in _PACKED else None
        self._left = b""
        self._size = 0
        self._fed = 0

    @property
    def asks_only(self) -> bool:
        """Nothing is to be changed."""
        return self._ended and self._lines == 0

    @property
    def whole(self) -> bool:
        """There is no ref but those of `refs`."""
        return self._ended and self._lines == len(self.refs)

    def feed(self, data: bytes) -> None:
        if self.read:
            return
        self._fed += len(data)
        try:
            room = LONGEST_HEAD - self._size
            plain = self._unpacked.decompress(data, room) if self._unpacked else data[:room]
        except zlib.error:
            self.read = True
            return
        self._size += len(plain)
        self._left += plain
        self._take_lines()
        self.read = self.read or max(self._size, self._fed) >= LONGEST_HEAD

    def end(self) -> None:
        self.read = True

    def _take_lines(self) -> None:
        while len(self._left) >= 4 and not self.read:
            digits = self._left[:4]
            size = int(digits, 16) if _SIZE.fullmatch(digits) else -1
            if size == 0:
                self.read = self._ended = True
            elif size < 4:
                self.read = True
            elif len(self._left) < size:
                return
            else:
                self._line(self._left[4:size])
                self._left = self._left[size:]

    def _line(self, line: bytes) -> None:
        """A signed push has others besides, which name no ref."""
        self._lines += 1
        found = _LINE.match(line)
        if found is None or len(self.refs) >= MOST_REFS:
            return
        ref = found[3][:LONGEST_REF].decode(errors="replace")
        self.refs.append(PushedRef(ref=ref, old=found[1].decode(), new=found[2].decode()))
