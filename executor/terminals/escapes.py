"""What a terminal may be told: everything else that a program writes is left out.

A terminal does more than show: it answers questions by typing, writes the clipboard, changes its
title, opens links, prints. Whoever runs in the session decides what is written, so only what shows
text, moves the cursor and switches modes that a screen needs comes through. No string sequence
(OSC, DCS, APC, PM, SOS) does, and nothing that a terminal answers.

What comes out is UTF-8, and an introducer is only ever followed by the rest of its own sequence:
what is left of one that was taken apart is text.
"""

import codecs
import re

SWALLOWED_MOST = 1024 * 1024
"""Characters of one string sequence; behind them an end is assumed."""
PENDING_MOST = 128
"""Characters of a sequence whose end has not come."""

NUMBER_DIGITS = 4

SHOWN = frozenset("\x07\x08\t\n\x0b\x0c\r")
"""Controls that come through. ENQ makes terminals answer, SO and SI change their alphabet."""

CONTROLS = re.compile(r"[\x00-\x06\x0e-\x1f\x7f-\x9f]")

CSI = re.compile(r"\x1b\[([<-?]?)([0-9;:]*)([ -/]*)([@-~])")
PLAIN_FINALS = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefgmrsu")
"""Cursor, erasing, scrolling, colours. Not c, n, x (which answer), t (windows), i (printing), q."""
MODES = frozenset({"4"})
_MODE_NUMBERS = (
    *(1, 5, 6, 7, 12, 25, 45, 47, 66),
    *(1000, 1002, 1003, 1004, 1006, 1007, 1015),
    *(1047, 1048, 1049, 2004, 2026),
)
PRIVATE_MODES = frozenset(map(str, _MODE_NUMBERS))
"""Keys, cursor, wrapping, the other screen, the mouse, focus, pasting, drawing at one moment."""

SHORT = re.compile(r"\x1b(?:[78=>DEHMNOc]|[()*+][0AB])")
OTHER = re.compile(r"\x1b(?!\[)[ -/]*[0-~]")
PART = re.compile(r"\x1b(?:\[[<-?]?[0-9;:]*)?[ -/]*")
STRINGS = re.compile(r"\x1b[P\]X^_k]|[\x90\x98\x9d-\x9f]")
STRING_END = re.compile(r"\x1b\\|[\x07\x18\x1a\x9c]|\x1b(?!\\)")


class Sanitizer:
    """Fed with what the program wrote, in any pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._swallowed: int | None = None
        """Characters so far of a string sequence; None: not within one."""

    def feed(self, content: bytes) -> bytes:
        text = self._pending + self._decoder.decode(content)
        self._pending = ""
        if self._swallowed is None and CONTROLS.search(text) is None:
            return text.encode()
        return "".join(self._pieces(text)).encode()

    def _pieces(self, text: str) -> list[str]:
        pieces: list[str] = []
        position = 0
        while position < len(text):
            if self._swallowed is not None:
                position = self._swallow(text, position)
                continue
            found = CONTROLS.search(text, position)
            if found is None:
                pieces.append(text[position:])
                break
            pieces.append(text[position : found.start()])
            position = self._control(text, found.start(), pieces)
        return pieces

    def _control(self, text: str, at: int, pieces: list[str]) -> int:
        """Where to go on."""
        if (string := STRINGS.match(text, at)) is not None:
            self._swallowed = 0
            return string.end()
        if text[at] != "\x1b":
            return at + 1
        if (short := SHORT.match(text, at)) is not None:
            pieces.append(short[0])
            return short.end()
        if (sequence := CSI.match(text, at)) is not None:
            pieces.append(_allowed(sequence))
            return sequence.end()
        if (other := OTHER.match(text, at)) is not None:
            return other.end()
        part = PART.match(text, at)
        if part is not None and part.end() == len(text) and len(text) - at <= PENDING_MOST:
            self._pending = text[at:]
            return len(text)
        return at + 1

    def _swallow(self, text: str, position: int) -> int:
        assert self._swallowed is not None  # noqa: S101  # the caller has looked
        found = STRING_END.search(text, position)
        end = len(text) if found is None else found.start()
        self._swallowed += end - position
        if found is None:
            if self._swallowed > SWALLOWED_MOST:
                self._swallowed = None
            return end
        if found[0] == "\x1b" and found.end() == len(text):
            self._pending = "\x1b"  # perhaps the first half of its end
            return len(text)
        self._swallowed = None
        return found.start() if found[0] == "\x1b" else found.end()


def _allowed(sequence: re.Match[str]) -> str:
    """The sequence, what of it may be, or nothing."""
    prefix, numbers, between, final = sequence.groups()
    if any(len(number) > NUMBER_DIGITS for number in re.split("[;:]", numbers)):
        return ""
    if len(numbers) > PENDING_MOST:
        return ""
    if final in "hl" and not between and prefix in {"", "?"}:
        return _modes(prefix, numbers, final)
    if not prefix and not between:
        return sequence[0] if final in PLAIN_FINALS else ""
    if prefix == "?" and not between:
        return sequence[0] if final in "JK" else ""
    cursor_shape = (prefix, between, final) == ("", " ", "q")
    soft_reset = (prefix, numbers, between, final) == ("", "", "!", "p")
    return sequence[0] if cursor_shape or soft_reset else ""


def _modes(prefix: str, numbers: str, final: str) -> str:
    known = PRIVATE_MODES if prefix else MODES
    kept = [number for number in numbers.split(";") if number in known]
    return f"\x1b[{prefix}{';'.join(kept)}{final}" if kept else ""
