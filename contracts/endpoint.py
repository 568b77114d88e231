"""A call between services, declared once and used by the route and by the client."""

from typing import Generic, Literal, NamedTuple, TypeVar

Req = TypeVar("Req")
Res = TypeVar("Res")


class Endpoint(NamedTuple, Generic[Req, Res]):
    """`path` may hold `{name}` parts, filled by `chassis.client`.

    `idempotent` says that a repetition after a lost answer is harmless, so that the client may
    retry. `deadline` is in seconds and covers the whole call, a long poll's wait included.
    """

    path: str
    request: type[Req]
    response: type[Res]
    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    idempotent: bool = False
    deadline: float = 10.0
