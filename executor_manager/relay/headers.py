"""Which headers pass between an agent and a named upstream, in either direction."""

from collections.abc import Iterable
from dataclasses import dataclass

from multidict import CIMultiDictProxy

Lines = list[tuple[str, str]]

_HOP = frozenset(
    {"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te"}
    | {"trailer", "transfer-encoding", "upgrade", "via"}
)
"""Ours on each side: a message is framed anew."""

_CREDENTIALS = frozenset(
    {"authorization", "authentication-info", "www-authenticate", "cookie", "cookie2"}
    | {"set-cookie", "set-cookie2", "api-key", "x-api-key", "x-goog-api-key", "x-auth-token"}
    | {"x-access-token", "x-amz-security-token", "private-token", "job-token", "x-csrf-token"}
)

_READ_OTHERWISE = frozenset(
    {"forwarded", "x-real-ip", "x-original-url", "x-rewrite-url", "x-http-method"}
    | {"x-http-method-override", "x-method-override"}
)
"""With these a request would be another one than the policy decided on."""

_PREFIXES = ("proxy-", "x-forwarded-", "x-berth-")

_NOT_ANSWERED = frozenset({"location", "content-location", "refresh", "alt-svc", "clear-site-data"})
"""They lead somewhere else, or speak of a host that the agent does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What is added outside, in place of whatever the agent claims to be."""

    header: str = "authorization"
    prefix: str = "Bearer "
    value: str


def to_upstream(headers: CIMultiDictProxy[str], added: Added | None) -> Lines:
    dropped = _named_by_connection(headers)
    if added is not None:
        dropped |= {added.header.lower()}
    lines = [(name, text) for name, text in headers.items() if _passes(name, dropped)]
    if added is not None:
        lines.append((added.header, f"{added.prefix}{added.value}"))
    return lines


def to_agent(headers: CIMultiDictProxy[str], added: Added | None) -> Lines:
    """No line that holds the added value passes, whatever its name."""
    dropped = _named_by_connection(headers) | _NOT_ANSWERED
    if added is not None:
        dropped |= {added.header.lower()}
    lines = [
        (name, text)
        for name, text in headers.items()
        if _passes(name, dropped) and not (added is not None and added.value in text)
    ]
    if (length := headers.get("Content-Length")) is not None:
        lines.append(("Content-Length", length))
    return lines


def _passes(name: str, dropped: Iterable[str]) -> bool:
    # some servers read an underscore as a dash
    plain = name.lower().replace("_", "-")
    if plain in _HOP or plain in _CREDENTIALS or plain in _READ_OTHERWISE:
        return False
    return not plain.startswith(_PREFIXES) and plain not in dropped


def _named_by_connection(headers: CIMultiDictProxy[str]) -> set[str]:
    listed = ",".join(headers.getall("Connection", []))
    return {name.strip().lower() for name in listed.split(",")}
