"""Answers of the wire formats, as far as metering looks into them: every field may be missing.

What cannot be read says nothing: it is passed on all the same, and whoever asked judges it. How a
format says it is in `model_answers_messages` and `model_answers_openai`.
"""

import enum
from typing import TypeVar

import msgspec

MOST = 10**12
"""Tokens of one call: what says more is wrong, and must not overflow a sum."""

T = TypeVar("T")

Count = int | None


class Said(enum.Enum):
    MORE = enum.auto()
    WHOLE = enum.auto()
    FAILED = enum.auto()
    """Whole, and the provider says that it could not answer."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """None: nothing was said of it."""

    input_tokens: Count = None
    output_tokens: Count = None
    cached_tokens: Count = None
    thought_tokens: Count = None

    def then(self, later: "Spent") -> "Spent":
        return Spent(
            input_tokens=_newer(self.input_tokens, later.input_tokens),
            output_tokens=_newer(self.output_tokens, later.output_tokens),
            cached_tokens=_newer(self.cached_tokens, later.cached_tokens),
            thought_tokens=_newer(self.thought_tokens, later.thought_tokens),
        )


def _newer(earlier: Count, later: Count) -> Count:
    return earlier if later is None else later


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one event, or a whole answer, tells."""

    said: Said = Said.MORE
    provider_id: str = ""
    spent: Spent = Spent()
    final: bool = False
    """`spent` is the provider's last word."""
    text_bytes: int = 0


NOTHING = Part()


def read(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def count(value: Count) -> Count:
    return None if value is None else min(max(value, 0), MOST)


def total(one: Count, other: Count) -> Count:
    return None if one is None else (count(one) or 0) + (count(other) or 0)


def size_of(*texts: object) -> int:
    return sum(len(text.encode()) for text in texts if isinstance(text, str))
