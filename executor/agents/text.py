"""Makes what an agent wrote fit for storage: valid Unicode, no NUL, bounded in size and depth."""

from typing import Any, cast

import msgspec

MAX_TEXT = 256 * 1024
"""Characters kept of one tool's output, one side of a diff, or one tool's encoded input."""
MAX_TITLE = 4096
MAX_DEPTH = 64
PREVIEW = 4096
_INT64 = 2**63


def clean(text: str) -> str:
    """Surrogate pairs joined, lone surrogates and NUL replaced: Postgres takes neither."""
    if text.isascii() and "\0" not in text:
        return text
    encoded = text.encode("utf-16-le", "surrogatepass")
    return encoded.decode("utf-16-le", "replace").replace("\0", "\ufffd")


def hold_back(text: str) -> tuple[str, str]:
    """Splits off a trailing high surrogate: its other half comes with the next chunk."""
    if text and "\ud800" <= text[-1] <= "\udbff":
        return text[:-1], text[-1]
    return text, ""


def cut(text: str, *, limit: int = MAX_TEXT) -> tuple[str, bool]:
    """The cleaned text and whether it was cut; what is missing is said at its end."""
    if len(text) <= limit:
        return clean(text), False
    return clean(text[:limit]) + f"\n[… {len(text) - limit} more characters were cut]", True


def clean_value(value: object, *, depth: int = 0) -> Any:  # noqa: ANN401 - JSON in, JSON out
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -_INT64 <= value < _INT64 else str(value)
    if depth >= MAX_DEPTH:
        return "[… nested too deep]"
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {clean(key): clean_value(item, depth=depth + 1) for key, item in items}
    if isinstance(value, list):
        return [clean_value(item, depth=depth + 1) for item in cast("list[Any]", value)]
    return value


def bounded(value: object) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """The cleaned value, or its first characters if it is too large."""
    cleaned = clean_value(value)
    encoded = msgspec.json.encode(cleaned)
    if len(encoded) <= MAX_TEXT:
        return cleaned
    preview = encoded[:PREVIEW].decode(errors="replace")
    return {"truncated": True, "bytes": len(encoded), "preview": preview}
