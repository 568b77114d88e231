"""How two texts differ, as a patch says it; bounded, whatever the texts are. Pure."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher

MOST_BYTES = 512 * 1024
"""Of one side."""
MOST_LINES = 20_000
MOST_PAIRS = 2_000_000
"""Equal lines on both sides, each with each: what one step of the comparison may look at."""
SECONDS = 2.0
CONTEXT = 3
LOOKED_AT = 8000
"""Bytes in which a NUL says that something is no text, as git has it."""


class TooDifferent(Exception):
    pass


class _Bounded(SequenceMatcher[str]):
    """Raises `TooDifferent` when its time is over."""

    deadline: float = 0.0

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        if time.monotonic() > self.deadline:
            raise TooDifferent
        return super().find_longest_match(alo, ahi, blo, bhi)


def text_of(content: bytes) -> str | None:
    """None: it is binary."""
    if b"\0" in content[:LOOKED_AT]:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def unified(before: str, after: str) -> str:
    """Hunks, without a head. Raises `TooDifferent`."""
    one, other = _lines(before), _lines(after)
    if len(one) > MOST_LINES or len(other) > MOST_LINES or _pairs(one, other) > MOST_PAIRS:
        raise TooDifferent
    matcher = _Bounded(None, one, other, autojunk=True)
    matcher.deadline = time.monotonic() + SECONDS
    return "".join(_hunks(matcher, one, other))


def _lines(text: str) -> list[str]:
    """With their ends: only a newline ends one."""
    lines = text.split("\n")
    whole = [f"{line}\n" for line in lines[:-1]]
    return [*whole, lines[-1]] if lines[-1] else whole


def _pairs(one: Sequence[str], other: Sequence[str]) -> int:
    counts = Counter(other)
    return sum(counts[line] for line in one)


def _hunks(matcher: _Bounded, one: list[str], other: list[str]) -> Iterator[str]:
    for group in matcher.get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
        for tag, one_from, one_to, other_from, other_to in group:
            if tag == "equal":
                yield from (_line(" ", line) for line in one[one_from:one_to])
                continue
            yield from (_line("-", line) for line in one[one_from:one_to])
            yield from (_line("+", line) for line in other[other_from:other_to])


def _range(start: int, stop: int) -> str:
    """As POSIX has it: from 1, but of nothing the line before."""
    length = stop - start
    beginning = start + 1 if length else start
    return str(beginning) if length == 1 else f"{beginning},{length}"


def _line(sign: str, line: str) -> str:
    if line.endswith("\n"):
        return sign + line
    return f"{sign}{line}\n\\ No newline at end of file\n"
