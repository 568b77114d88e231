"""What a download is asked by, and the headers that make it safe to answer."""

import re
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.tickets import MOST_LOG_BYTES

MOST_PATH_BYTES = 4096
"""As Linux has it."""

FALLBACK = "file"

LOG_BYTES = 64 * 1024
_NUMBER = re.compile(rb"[0-9]{1,9}")

_INERT = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"cache-control", b"private, no-store"),
]


def asked_path(query: bytes) -> bytes:
    """The one `path` of a query string: bytes, for a file's name need not be UTF-8."""
    pairs = [part.partition(b"=") for part in query.split(b"&")]
    values = [value for name, _, value in pairs if unquote_to_bytes(name) == b"path"]
    if len(values) != 1:
        raise _wrong("path, once: relative to the workspace")
    path = unquote_to_bytes(values[0].replace(b"+", b" "))
    if not path or b"\0" in path:
        raise _wrong("a path that is not empty: relative to the workspace")
    if len(path) > MOST_PATH_BYTES:
        raise _wrong(f"a path of at most {MOST_PATH_BYTES} bytes")
    return path


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
    return [(b"content-type", b"text/plain; charset=utf-8"), *sized, *_INERT]


def query_of(path: bytes) -> str:
    return f"path={quote_from_bytes(path, safe='/')}"


def headers_of(path: bytes, length: int | None) -> list[tuple[bytes, bytes]]:
    """Never shown by a browser, whatever is in it: an agent wrote it."""
    sized = [] if length is None else [(b"content-length", b"%d" % length)]
    return [
        (b"content-type", b"application/octet-stream"),
        *sized,
        (b"content-disposition", _disposition(path)),
        *_INERT,
    ]


def _disposition(path: bytes) -> bytes:
    """RFC 6266: a plain name for old readers, the real one as RFC 5987 has it."""
    name = path.rstrip(b"/").rpartition(b"/")[2].decode("utf-8", "replace")
    plain = "".join(char if _is_plain(char) else "_" for char in name) or FALLBACK
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}".encode()


def _is_plain(char: str) -> bool:
    return char.isascii() and char.isprintable() and char not in '"\\%'


def _wrong(expected: str) -> BerthError:
    return BerthError(
        Code.VALIDATION, f"path: expected {expected}", field="path", expected=expected
    )
