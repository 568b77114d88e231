"""Server-Sent Events as providers send them, read while they pass, however they are cut into parts.

Lines end in LF, CR or CRLF, also across parts; several `data` lines are one text; comments, ids and
a byte order mark are passed over. What is held is one event at a time, up to `LONGEST` bytes: a
longer one is passed over.
"""

import re
from collections.abc import Iterator

LONGEST = 32 * 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Gives the data of each event; its name is in the data of every format that we meter."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, part: bytes) -> Iterator[bytes]:
        if self._after_cr and part.startswith(b"\n"):
            part = part[1:]
            self._after_cr = False
        if not part:
            return
        self._after_cr = part.endswith(b"\r")
        *ended, rest = _LINE_END.split(part)
        for piece in ended:
            yield from self._line_ended(piece)
        self._keep(rest)

    def end(self) -> Iterator[bytes]:
        """The last event, which some leave without its empty line."""
        yield from self._line_ended(b"")
        yield from self._line_ended(b"")

    def _line_ended(self, piece: bytes) -> Iterator[bytes]:
        self._keep(piece)
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            line = line.removeprefix(_BOM)
            self._first = False
        if line:
            self._field(line)
            return
        if self._data and self._size <= LONGEST:
            yield b"\n".join(self._data)
        self._data, self._size = [], 0

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= LONGEST:
            self._line += piece

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
