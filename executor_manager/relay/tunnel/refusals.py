"""Why a tunnel does not come about, or ends: the family of its errors.

TunnelEnded
├── TunnelRefused   a rule said no: a denial
└── TunnelFailed    nobody's fault in here: no such name, nobody there
"""

from http import HTTPStatus

from contracts.errors import Code
from executor_manager.relay.problems import problem


class TunnelEnded(Exception):
    """`code` and the message are what the agent is told while it can still be told."""

    def __init__(self, message: str, code: Code) -> None:
        super().__init__(message)
        self.code = code


class TunnelRefused(TunnelEnded):
    """`host` and `port` as they were asked for, as far as they could be read."""

    def __init__(
        self,
        rule: str,
        *,
        host: str = "",
        port: int = 0,
        code: Code = Code.FORBIDDEN,
        tls: bool = False,
    ) -> None:
        super().__init__("the policy does not allow this", code)
        self.rule = rule
        self.host = host
        self.port = port
        self.tls = tls
        """What the agent sent looked like TLS, so that it understands an alert."""


class TunnelFailed(TunnelEnded):
    pass


def as_answer(ended: TunnelEnded) -> bytes:
    details = {"rule": ended.rule} if isinstance(ended, TunnelRefused) else {}
    answer = problem(ended.code, str(ended), **details)
    body = answer.body if isinstance(answer.body, bytes) else b""
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if ended.code is Code.RATE_LIMITED:
        lines.append("Retry-After: 10")
    return "\r\n".join([*lines, "", ""]).encode() + body
