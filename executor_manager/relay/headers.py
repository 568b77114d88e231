"""Which headers pass between an agent and a named upstream, in either direction."""

from collections.abc import Iterable

from multidict import CIMultiDictProxy

from contracts.relay import NamedUpstream

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


def to_upstream(headers: CIMultiDictProxy[str], upstream: NamedUpstream, value: str) -> Lines:
    """`value` is the credential's, empty if the upstream has none."""
    dropped = _named_by_connection(headers)
    if upstream.credential is not None:
        dropped |= {upstream.credential.header.lower()}
    lines = [(name, text) for name, text in headers.items() if _passes(name, dropped)]
    if upstream.credential is not None:
        lines.append((upstream.credential.header, f"{upstream.credential.prefix}{value}"))
    return lines


def to_agent(headers: CIMultiDictProxy[str], upstream: NamedUpstream, value: str) -> Lines:
    """No line that holds the credential's value passes, whatever its name."""
    dropped = _named_by_connection(headers) | _NOT_ANSWERED
    if upstream.credential is not None:
        dropped |= {upstream.credential.header.lower()}
    lines = [
        (name, text)
        for name, text in headers.items()
        if _passes(name, dropped) and not (value and value in text)
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
