"""Takes known secret values out of text that leaves the process: log lines, error details."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

import msgspec

REPLACEMENT = "[redacted]"

SHORTEST = 6
"""Shorter values would make ordinary text unreadable."""


class Redactor:
    """Also knows each value's base64, URL-encoded and JSON-escaped forms."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, value: str) -> None:
        if len(value) < SHORTEST or value in self._forms:
            return
        self._forms |= _forms(value)
        # longest first: a value that is part of another must not hide it
        ordered = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered))

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(REPLACEMENT, text)


def _forms(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode()).decode()
    forms = {value, quote(value, safe=""), quote(value), quote_plus(value)}
    forms |= {encoded, encoded.rstrip("="), encoded.translate(str.maketrans("+/", "-_"))}
    escaped = _escaped(value)
    forms |= {escaped, _ascii(escaped), _ascii(_escaped(_ascii(escaped)))}
    return {form for form in forms if len(form) >= SHORTEST}


def _escaped(value: str) -> str:
    """As within a JSON string."""
    return msgspec.json.encode(value).decode()[1:-1]


def _ascii(escaped: str) -> str:
    """With what is not ASCII as `\\uXXXX`, the other way to write the same JSON."""
    units = escaped.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 127 else f"\\u{code:04x}" for code in codes)
