"""Cursors of lists of files: the last path of a page, good only for the list that gave it."""

import base64
import binascii
import hashlib

from chassis.errors import BerthError
from contracts.errors import Code

MARK_BYTES = 8


def cursor_of(scope: str, last: bytes) -> str:
    """`scope` names the list with its filters."""
    return base64.urlsafe_b64encode(_mark(scope) + last).rstrip(b"=").decode()


def after(scope: str, cursor: str | None) -> bytes | None:
    """The path to go on behind. Raises `bad_cursor` for garbage, and for another list's."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) <= MARK_BYTES or raw[:MARK_BYTES] != _mark(scope):
        raise BerthError(
            Code.BAD_CURSOR,
            "cursor: take it from `next_cursor` of the same list with the same filters",
            field="cursor",
            expected="the `next_cursor` of this list",
        )
    return raw[MARK_BYTES:]


def _mark(scope: str) -> bytes:
    return hashlib.sha256(scope.encode()).digest()[:MARK_BYTES]
