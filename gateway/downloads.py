"""What the end of a log is asked by, and the headers that make it safe to answer."""

import re
from urllib.parse import unquote_to_bytes

from chassis.errors import BerthError
from chassis.files.previews import INERT
from contracts.errors import Code
from contracts.tickets import MOST_LOG_BYTES

LOG_BYTES = 64 * 1024
_NUMBER = re.compile(rb"[0-9]{1,9}")


def asked_size(query: bytes) -> int:
    """The one `bytes` of a query string; left out, a screen or two."""
    pairs = [part.partition(b"=") for part in query.split(b"&") if part]
    values = [unquote_to_bytes(value) for name, _, value in pairs if name == b"bytes"]
    if not values:
        return LOG_BYTES
    size = int(values[0]) if len(values) == 1 and _NUMBER.fullmatch(values[0]) else 0
    if not 1 <= size <= MOST_LOG_BYTES:
        expected = f"1 to {MOST_LOG_BYTES}, once"
        raise BerthError(
            Code.VALIDATION, f"bytes: expected {expected}", field="bytes", expected=expected
        )
    return size


def log_headers(length: int | None) -> list[tuple[bytes, bytes]]:
    """Text, and nothing else, whatever is in it."""
    sized = [] if length is None else [(b"content-length", b"%d" % length)]
    inert = [(name.encode(), value.encode()) for name, value in INERT.items()]
    return [(b"content-type", b"text/plain; charset=utf-8"), *sized, *inert]
