"""What a session's socket lets through: one parse of the request line decides, and is forwarded.

Deny by default. A target is matched as the bytes that came in, never decoded, joined or normalised:
what an upstream would read differently (`%2e`, `//`, `..`, an absolute URI) matches nothing.
"""

import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from contracts.relay import RELAY_STREAMS

Upstream = Literal["control_plane", "object_store"]

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CALL = re.compile(
    rf"/internal/v1/workers/({_UUID})/"
    rf"(?:callbacks|restore|transcript|uploads|downloads|side-snapshot|grants/{_UUID}/take)"
)
_OBJECT = re.compile(r"/objects(/[^?#\s]+)\?([^#\s]+)")
_SIGNATURE = re.compile(r"(?:^|&)X-Amz-Signature=[0-9a-fA-F]+(?:&|$)")
_SIGNED_HEADERS = re.compile(r"(?:^|&)X-Amz-SignedHeaders=([^&]*)")
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_ENCODED_SLASH = re.compile(r"%2f|%5c|\\|%00", re.IGNORECASE)

CALL_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-encoding", "content-length", "content-type"}
    | {"traceparent", "tracestate", "x-request-id"}
)
"""What travels to the control plane; whoever one claims to be in any other header is not asked."""

OBJECT_HEADERS = frozenset({"accept", "content-length", "content-md5", "content-type", "range"})
"""Besides those that the URL's signature covers: an unsigned `x-amz-copy-source` is a way out."""

_NEVER = frozenset({"authorization", "connection", "cookie", "host", "te", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    upstream: Upstream
    target: str
    """Path and query, byte for byte what goes upstream."""
    headers: frozenset[str]
    """Lower-case names of the request's headers that go along."""


@dataclass(frozen=True, slots=True)
class AskedUs:
    """For the relay itself: `contracts.relay.RELAY_STREAMS`."""


@dataclass(frozen=True, slots=True)
class Denied:
    rule: str


def decide_control(worker_id: UUID, method: str, target: str) -> Allowed | AskedUs | Denied:
    """For `control/relay.sock`. `target` is the request line's, unparsed."""
    if (method, target) == (RELAY_STREAMS.method, RELAY_STREAMS.path):
        return AskedUs()
    if target.startswith("/objects/"):
        return _object(method, target)
    return _call(worker_id, method, target)


def _call(worker_id: UUID, method: str, target: str) -> Allowed | Denied:
    found = _CALL.fullmatch(target)
    if found is None:
        return Denied("not_a_path_of_a_worker")
    if found[1] != str(worker_id):
        return Denied("another_worker")
    if method != "POST":
        return Denied("method")
    return Allowed(upstream="control_plane", target=target, headers=CALL_HEADERS)


def _object(method: str, target: str) -> Allowed | Denied:
    found = _OBJECT.fullmatch(target)
    if found is None or not _SIGNATURE.search(found[2]):
        return Denied("not_a_signed_url")
    if method not in {"GET", "PUT"}:
        return Denied("method")
    path, query = found[1], found[2]
    if any(_DOTS.fullmatch(segment) for segment in path.split("/")):
        return Denied("dot_segment")
    if _ENCODED_SLASH.search(path) or "//" in path:
        return Denied("encoded_slash")
    headers = OBJECT_HEADERS | _signed_headers(query)
    return Allowed(upstream="object_store", target=f"{path}?{query}", headers=headers)


def _signed_headers(query: str) -> frozenset[str]:
    found = _SIGNED_HEADERS.search(query)
    names = re.split(r"%3b|;", found[1], flags=re.IGNORECASE) if found else []
    return frozenset(name.lower() for name in names) - _NEVER
