"""What a client asks around a request: a page of a list, an idempotency key, how to be answered."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, QueryParameter

from control_plane.domain.access import Principal
from control_plane.domain.cursors import Window
from control_plane.services.idempotency import Ask, ask

LONGEST_WAIT = 60.0
"""Seconds that `Prefer: wait` is followed for."""

Limit = Annotated[int, msgspec.Meta(ge=1, le=200), QueryParameter(ge=1, le=200)]
"""Litestar enforces its own bounds only; msgspec's are what the description shows."""

Cursor = Annotated[
    str | None,
    msgspec.Meta(max_length=200),
    QueryParameter(max_length=200, description="`next_cursor` of the page before"),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key with the same body gives the first answer again.",
        examples=[Example(value="order-7f3a")],
    ),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        description="`wait=N`: up to N ≤ 60 seconds, until the run ends or waits for somebody.",
        examples=[Example(value="wait=30")],
    ),
]

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;\s])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """How the answer to a message is wanted."""

    wait: float = 0.0
    stream: bool = False


def wish_of(accept: str, prefer: str | None) -> Wish:
    """A preference that cannot be read is passed over, as RFC 7240 wants it."""
    found = _WAIT.search(prefer or "")
    wait = min(float(found[1]), LONGEST_WAIT) if found else 0.0
    return Wish(wait=wait, stream="text/event-stream" in accept.lower())


def window(limit: int, cursor: str | None) -> Window:
    return Window(limit=limit, cursor=cursor)


def ask_of(
    request: Request[Any, Any, Any], principal: Principal, body: object, key: str | None
) -> Ask:
    wish = wish_of(request.headers.get("accept", ""), request.headers.get("prefer"))
    return ask(
        user_id=principal.user_id,
        key=key,
        method=request.method,
        path=request.url.path,
        body=body,
        waits=wish.wait > 0 and not wish.stream,
    )


def replayed_headers(*, replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}
