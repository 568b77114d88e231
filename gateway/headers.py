"""Which headers cross the gateway: no caller speaks for another or reaches past the hop."""

from collections.abc import Iterable
from dataclasses import dataclass

from chassis.auth import IDENTITY_HEADER

RawHeaders = Iterable[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OURS_TO_SAY = (b"x-berth-", b"x-user-", b"x-internal-", b"x-forwarded-")
_REPLACED = frozenset(
    {
        b"authorization",
        b"content-length",
        b"expect",
        b"forwarded",
        b"host",
        b"traceparent",
        b"tracestate",
        b"x-api-key",
        b"x-real-ip",
        b"x-request-id",
    }
)
_NOT_RETURNED = frozenset({b"date", b"server", b"x-request-id", b"x-trace-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What the gateway says of a request on its way to an upstream."""

    identity: str
    client: str
    host: str
    scheme: str
    request_id: str
    traceparent: str | None


def to_upstream(headers: RawHeaders, hop: Hop) -> list[tuple[str, str]]:
    pairs = list(headers)
    named = _named_by_connection(pairs)
    kept = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in pairs
        if _may_go_up(name.lower(), named)
    ]
    kept += [
        (IDENTITY_HEADER, hop.identity),
        ("X-Forwarded-For", hop.client),
        ("X-Forwarded-Host", hop.host),
        ("X-Forwarded-Proto", hop.scheme),
        ("X-Request-ID", hop.request_id),
    ]
    if hop.traceparent is not None:
        kept.append(("traceparent", hop.traceparent))
    return kept


def to_client(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    pairs = list(headers)
    dropped = _HOP_BY_HOP | _NOT_RETURNED | _named_by_connection(pairs)
    return [
        (name.lower(), value)
        for name, value in pairs
        if name.lower() not in dropped
        and not name.lower().startswith((b"x-berth-", b"x-internal-"))
    ]


def _may_go_up(name: bytes, named: set[bytes]) -> bool:
    # some servers read X_Berth_Identity as X-Berth-Identity
    dashed = name.replace(b"_", b"-")
    return not (
        dashed in _HOP_BY_HOP
        or dashed in _REPLACED
        or name in named
        or dashed.startswith(_OURS_TO_SAY)
    )


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    values = [value for name, value in headers if name.lower() == b"connection"]
    return {token.strip().lower() for value in values for token in value.split(b",")}
