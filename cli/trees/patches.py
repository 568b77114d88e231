"""Two states of a tree as a patch that `git apply` takes: text, binary, links, modes.

Directories are none of git's: empty ones are not in it, and neither is what lies in a `.git`.
"""

import hashlib
import zlib
from base64 import b85encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

from cli.trees.receiving import Entry, Received
from snapshots.model import Kind
from snapshots.paths import order

MOST_BYTES = 64 * 1024 * 1024
"""Of a file; a larger one is listed, and left out."""
MOST_COMPARED = 4_000_000
"""Lines of one side times those of the other, what both begin and end with left out; beyond that
all of one side makes place for all of the other, which is right, and longer.
"""
CONTEXT = 3
LOOKED_AT = 8000
"""Bytes in which git looks for a zero."""
PER_LINE = 52
NOTHING = "0" * 40
Opcode = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]
_CHANGE_KINDS = {Kind.FILE, Kind.LINK}


@dataclass(frozen=True, slots=True)
class Blob:
    mode: str
    """As git has it."""
    content: bytes

    @property
    def id(self) -> str:
        head = f"blob {len(self.content)}\0".encode()
        return hashlib.sha1(head + self.content, usedforsecurity=False).hexdigest()

    @property
    def is_binary(self) -> bool:
        return b"\0" in self.content[:LOOKED_AT]


@dataclass(slots=True)
class Patching:
    """`pieces` once; then what it left out, and why."""

    before: Received
    after: Received
    left_out: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    files: int = 0

    def pieces(self) -> Iterator[bytes]:
        for path, one, other in _pairs(self.before, self.after):
            if b".git" in path.split(b"/"):
                continue
            if (why := _unfit(one) or _unfit(other)) is not None:
                self.left_out.append((path, why))
                continue
            old, new = _blob(self.before, one), _blob(self.after, other)
            if old == new:
                continue
            self.files += 1
            yield from patch(path, old, new)


def patch(path: bytes, old: Blob | None, new: Blob | None) -> Iterator[bytes]:
    if old is not None and new is not None and old.mode[:3] != new.mode[:3]:
        # another kind of thing: git has it as one that goes and one that comes
        yield from patch(path, old, None)
        yield from patch(path, None, new)
        return
    a, b = quoted(b"a/" + path), quoted(b"b/" + path)
    yield b"diff --git " + a + b" " + b + b"\n"
    yield _modes(old, new)
    before, after = (old.content if old else b""), (new.content if new else b"")
    if before == after:
        return
    ids = f"{old.id if old else NOTHING}..{new.id if new else NOTHING}"
    kept = f" {new.mode}" if old and new and old.mode == new.mode else ""
    yield f"index {ids}{kept}\n".encode()
    if (old and old.is_binary) or (new and new.is_binary):
        yield from _binary(after)
        return
    yield b"--- " + (_named(a) if old else b"/dev/null") + b"\n"
    yield b"+++ " + (_named(b) if new else b"/dev/null") + b"\n"
    yield from _hunks(_lines(before), _lines(after))


def quoted(name: bytes) -> bytes:
    """As git does where a name has what a line cannot."""
    if all(0x20 <= one < 0x7F and one not in b'"\\' for one in name):
        return name
    return b'"' + b"".join(_escape(one) for one in name) + b'"'


def _named(name: bytes) -> bytes:
    """A name with a space ends with a tab, so that it is not taken for a date."""
    return name + b"\t" if b" " in name and not name.startswith(b'"') else name


def _escape(one: int) -> bytes:
    if one in b'"\\':
        return b"\\" + bytes([one])
    return bytes([one]) if 0x20 <= one < 0x7F else b"\\%03o" % one


def _modes(old: Blob | None, new: Blob | None) -> bytes:
    if old is None:
        return f"new file mode {new.mode if new else ''}\n".encode()
    if new is None:
        return f"deleted file mode {old.mode}\n".encode()
    if old.mode == new.mode:
        return b""
    return f"old mode {old.mode}\nnew mode {new.mode}\n".encode()


def _binary(content: bytes) -> Iterator[bytes]:
    yield f"GIT binary patch\nliteral {len(content)}\n".encode()
    packed = zlib.compress(content)
    for start in range(0, len(packed), PER_LINE):
        piece = packed[start : start + PER_LINE]
        length = len(piece)
        letter = chr(ord("A") + length - 1) if length <= 26 else chr(ord("a") + length - 27)
        yield letter.encode() + b85encode(piece + bytes(-length % 4)) + b"\n"
    yield b"\n"


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    ends = [line + b"\n" for line in lines[:-1]]
    return [*ends, lines[-1]] if lines[-1] else ends


def _hunks(old: list[bytes], new: list[bytes]) -> Iterator[bytes]:
    for group in _Known(_opcodes(old, new)).get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        yield b"@@ -%b +%b @@\n" % (_range(first[1], last[2]), _range(first[3], last[4]))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (_line(b" ", one) for one in old[i1:i2])
                continue
            yield from (_line(b"-", one) for one in old[i1:i2])
            yield from (_line(b"+", one) for one in new[j1:j2])


class _Known(SequenceMatcher[bytes]):
    """Groups what was found without it."""

    def __init__(self, codes: list[Opcode]) -> None:
        super().__init__(None, [], [])
        self._codes = codes

    def get_opcodes(self) -> list[Opcode]:
        return self._codes


def _opcodes(old: list[bytes], new: list[bytes]) -> list[Opcode]:
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    end, other_end = len(old) - tail, len(new) - tail
    found: list[Opcode] = []
    if head:
        found.append(("equal", 0, head, 0, head))
    if (end - head) * (other_end - head) <= MOST_COMPARED:
        middle = SequenceMatcher(None, old[head:end], new[head:other_end], autojunk=False)
        for tag, i1, i2, j1, j2 in middle.get_opcodes():
            found.append((tag, i1 + head, i2 + head, j1 + head, j2 + head))
    else:
        found.append(("replace", head, end, head, other_end))
    if tail:
        found.append(("equal", end, len(old), other_end, len(new)))
    return found


def _common(one: list[bytes], other: list[bytes]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _range(start: int, stop: int) -> bytes:
    length = stop - start
    begin = start + 1 if length else start
    return b"%d" % begin if length == 1 else b"%d,%d" % (begin, length)


def _line(sign: bytes, line: bytes) -> bytes:
    whole = sign + line
    return whole if line.endswith(b"\n") else whole + b"\n\\ No newline at end of file\n"


def _pairs(before: Received, after: Received) -> Iterator[tuple[bytes, Entry | None, Entry | None]]:
    """What the sides have, path by path; both are in order."""
    old, new = before.entries(), after.entries()
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        if other is None or (one is not None and order(one.path) < order(other.path)):
            assert one is not None  # noqa: S101  # not both are None
            yield one.path, one, None
            one = next(old, None)
        elif one is None or order(other.path) < order(one.path):
            yield other.path, None, other
            other = next(new, None)
        else:
            yield one.path, one, other
            one, other = next(old, None), next(new, None)


def _unfit(entry: Entry | None) -> str | None:
    if entry is not None and entry.size > MOST_BYTES:
        return f"larger than {MOST_BYTES} bytes"
    return None


def _blob(side: Received, entry: Entry | None) -> Blob | None:
    if entry is None or entry.kind not in _CHANGE_KINDS:
        return None
    if entry.kind is Kind.LINK:
        return Blob("120000", entry.target)
    return Blob("100755" if entry.mode & 0o100 else "100644", side.content(entry))
