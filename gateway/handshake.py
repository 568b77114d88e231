"""What a WebSocket's handshake says: whose page it comes from, the key, what is wanted.

Browsers' scripts can set no header but the subprotocols, so a key may come as one of them, after
the one that is spoken. It is in no URL, and is never sent back.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Literal, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from litestar.datastructures import Headers
from litestar.types import WebSocketScope

from chassis.errors import BerthError
from contracts.errors import Code

SUBPROTOCOL = "berth.tty.v1"
KEY_SUBPROTOCOL = "berth.key."
"""With the key behind it, in base64url without padding."""

Mode = Literal["auto", "read", "write"]

_MODES = frozenset({"auto", "read", "write"})
_PASSED = frozenset({"terminal", "columns", "rows"})
_MOST_FIELDS = 8


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    headers: Headers
    """With the key where every other request has it."""
    mode: Mode
    query: str
    """For the executor: it looks at it."""
    subprotocol: str | None
    from_browser: bool
    """A page cannot read how a handshake was refused: it is accepted, and then closed."""


def handshake_of(scope: WebSocketScope, origins: Sequence[str]) -> Handshake:
    """Raises `BerthError`."""
    headers = Headers.from_scope(scope)
    _check_origin(headers, origins)
    offered = list(scope["subprotocols"])
    keys = [one for one in offered if one.startswith(KEY_SUBPROTOCOL)]
    if keys and "authorization" not in headers and "x-api-key" not in headers:
        headers = Headers({"authorization": f"Bearer {_key(keys[0])}"})
    fields = _fields(scope["query_string"])
    mode = fields.get("mode", "auto")
    if mode not in _MODES:
        raise _wrong("mode", "auto, read or write")
    return Handshake(
        headers=headers,
        mode=cast("Mode", mode),
        query=urlencode({name: fields[name] for name in _PASSED & fields.keys()}),
        subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
        from_browser=bool(keys),
    )


def _check_origin(headers: Headers, origins: Sequence[str]) -> None:
    """Another site's page has no business here, whatever key it has got hold of."""
    origin = headers.get("origin")
    if origin is None or {"*", origin} & set(origins):
        return
    place = urlsplit(origin).netloc.lower()
    if not place or place != headers.get("host", "").lower():
        raise BerthError(
            Code.FORBIDDEN, "this page's origin may open no terminal: see BERTH_CORS_ORIGINS"
        )


def _key(offered: str) -> str:
    encoded = offered.removeprefix(KEY_SUBPROTOCOL)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,400}", encoded):
        raise BerthError(Code.UNAUTHENTICATED, "the key's subprotocol is no base64url")
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BerthError(Code.UNAUTHENTICATED, "the key's subprotocol holds no key") from error


def _fields(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise _wrong("query", f"at most {_MOST_FIELDS} fields") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _wrong("query", "each field once")
    return fields


def _wrong(field: str, expected: str) -> BerthError:
    detail = f"{field}: expected {expected}"
    return BerthError(Code.VALIDATION, detail, field=field, expected=expected)
