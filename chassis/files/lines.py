"""Lines of a file that hold a text: compared as it is, without expressions that could take for
ever.
"""

import re

from chassis.files.names import wrong
from contracts.workspace_files import LINE_CHARACTERS, MOST_LINES, PATTERN_CHARACTERS, FoundLine

BINARY_BYTES = 8192
"""A file with NUL bytes among its first ones is binary, and not searched."""
MOST_WITHHELD = 100
"""Paths that are told to have been left out, on one page."""


def text_of(text: str, *, fold: bool) -> re.Pattern[bytes]:
    """`fold`: upper and lower case are alike. Raises `validation_failed`."""
    if not 0 < len(text) <= PATTERN_CHARACTERS or "\n" in text:
        raise wrong("text", f"one line of at most {PATTERN_CHARACTERS} characters")
    return re.compile(re.escape(text.encode()), re.IGNORECASE if fold else 0)


def is_binary(beginning: bytes) -> bool:
    return b"\0" in beginning[:BINARY_BYTES]


def lines_with(content: bytes, text: re.Pattern[bytes]) -> list[FoundLine]:
    """One more than are told, if there are more."""
    found: list[FoundLine] = []
    number, counted, place = 1, 0, 0
    while len(found) <= MOST_LINES and (match := text.search(content, place)) is not None:
        number += content.count(b"\n", counted, match.start())
        counted = match.start()
        begin = content.rfind(b"\n", 0, match.start()) + 1
        end = content.find(b"\n", match.end())
        end = len(content) if end < 0 else end
        found.append(FoundLine(number=number, text=_around(content, begin, end, match.start())))
        if end == len(content):
            break
        place = end + 1
    return found


def _around(content: bytes, begin: int, end: int, place: int) -> str:
    if end - begin > LINE_CHARACTERS:
        begin = max(begin, place - LINE_CHARACTERS // 3)
        end = min(end, begin + LINE_CHARACTERS)
    return content[begin:end].decode(errors="replace").rstrip("\r")
