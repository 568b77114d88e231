"""Which paths lead to an upstream, and which to a session's worker: a short list, and only in their
plain spelling.
"""

import re
from urllib.parse import unquote_to_bytes
from uuid import UUID

from chassis.errors import NotFound
from contracts.errors import Code

_ROUTED = re.compile(rb"/api/|/schema(/|$)")
_OF_WORKER = re.compile(rb"/api/v1/session-workers/([0-9a-fA-F-]{36})/([a-z]+)(?:/([a-z]{1,20}))?")
_DECODINGS = 3
"""More than any server behind the gateway applies."""

_STRANGE = re.compile(rb"//|/\.{1,2}(/|$)|[\\\x00-\x1f\x7f]|^/internal(/|$)", re.IGNORECASE)


def is_routed(raw_path: bytes) -> bool:
    """Raises `NotFound` for a path that could mean another one to whoever reads it next."""
    path = raw_path
    for _ in range(_DECODINGS):
        if not path.startswith(b"/") or _STRANGE.search(path):
            raise NotFound(Code.NOT_FOUND, "there is nothing under this path")
        decoded = unquote_to_bytes(path)
        if decoded.count(b"/") != path.count(b"/"):
            raise NotFound(Code.NOT_FOUND, "a path may not hold an encoded slash")
        path = decoded
    return _ROUTED.match(raw_path) is not None


def of_worker(raw_path: bytes) -> tuple[UUID, str, str] | None:
    """The session, what of its worker is asked for, and what of that or nothing. None: the path is
    another one.
    """
    found = _OF_WORKER.fullmatch(raw_path)
    if found is None:
        return None
    session_id, asked, part = (text.decode() for text in found.groups(b""))
    try:
        return UUID(session_id), asked, part
    except ValueError:
        return None
