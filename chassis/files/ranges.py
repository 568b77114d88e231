"""The stretch of a file that a `Range` header asks for (RFC 9110): one, or all of it."""

import re

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.workspace_files import MOST_READ_BYTES

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Stretch(msgspec.Struct, frozen=True):
    start: int
    length: int


def stretch_of(header: str, size: int) -> Stretch | None:
    """None: the whole file. What is no single range is passed over, as the RFC allows.

    Raises `range_not_satisfiable` for one that lies behind the end.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        if last and int(last) < start:
            return None
        length = min(int(last) if last else size, size - 1) - start + 1
    if length <= 0:
        expected = f"bytes=START-END within 0 to {size - 1}" if size else "no range: it is empty"
        raise BerthError(
            Code.RANGE, f"Range: expected {expected}", field="Range", expected=expected, size=size
        )
    return Stretch(start, length)


def require_readable(stretch: Stretch) -> None:
    """Raises `too_large`."""
    if stretch.length > MOST_READ_BYTES:
        detail = f"one answer holds at most {MOST_READ_BYTES} bytes: ask for a Range"
        raise BerthError(Code.TOO_LARGE, detail, field="Range", limit=MOST_READ_BYTES)


def content_range(stretch: Stretch, size: int) -> str:
    return f"bytes {stretch.start}-{stretch.start + stretch.length - 1}/{size}"


def names_etag(header: str, etag: str) -> bool:
    """`If-Match` or `If-None-Match`: a list of tags, or `*`."""
    if header.strip() == "*":
        return True
    tags = [one.strip().removeprefix("W/") for one in header.split(",")]
    return etag in tags
