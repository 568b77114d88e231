"""The last bytes that a terminal was told, counted from its beginning.

All its viewers read from the one ring: how far each has come is a number, and none costs memory.
"""

CUT_AT = 8 * 1024
"""How far behind a cut the next line is looked for."""


class Scrollback:
    def __init__(self, limit: int) -> None:
        self.start = 0
        """The first byte that is still here."""
        self._limit = limit
        self._content = bytearray()

    @property
    def end(self) -> int:
        return self.start + len(self._content)

    def append(self, content: bytes) -> None:
        self._content += content
        # in larger steps: each cut moves all that stays
        if len(self._content) > self._limit + self._limit // 4:
            cut = len(self._content) - self._limit
            del self._content[:cut]
            self.start += cut

    def read(self, position: int, size: int) -> bytes:
        """From `position` on, which must not lie before `start`."""
        offset = position - self.start
        return bytes(self._content[offset : offset + size])

    def line_after(self, position: int) -> int:
        """Where one can begin that has not seen what came before: at a line, else a character."""
        if position <= 0:
            return 0
        offset = max(0, position - self.start)
        newline = self._content.find(b"\n", offset, offset + CUT_AT)
        if newline >= 0:
            return self.start + newline + 1
        while offset < len(self._content) and self._content[offset] & 0xC0 == 0x80:
            offset += 1
        return self.start + offset
