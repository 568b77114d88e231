"""What an agent can fail with, as reasons from the closed list.

AgentFailed                 the agent cannot be used, or ended: a reason and a detail
├── ModelMissing            it needs a model, and none is offered: a person has to do something
├── RpcFailure              it answered a call with an error
└── ConnectionLost          its process or its pipe ended
"""

from typing import Any, cast

from contracts.reasons import Reason

_BY_CODE = {-32000: Reason.MODEL_UNAUTHORIZED}
_BY_KIND = {
    "authentication": Reason.MODEL_UNAUTHORIZED,
    "authentication_failed": Reason.MODEL_UNAUTHORIZED,
    "billing_error": Reason.MODEL_UNAUTHORIZED,
    "model_not_found": Reason.MODEL_NOT_FOUND,
    "rate_limit": Reason.MODEL_RATE_LIMITED,
    "server_error": Reason.MODEL_UNAVAILABLE,
    "overloaded": Reason.MODEL_UNAVAILABLE,
    "invalid_request": Reason.MODEL_BAD_REQUEST,
}
"""Claude's `data.errorKind`."""
_BY_TEXT = {
    "maximum number of turns": Reason.TURN_LIMIT,
    "process exited unexpectedly": Reason.AGENT_CRASHED,
    "invalid x-api-key": Reason.MODEL_UNAUTHORIZED,
}
MAX_DETAIL = 2000


class AgentFailed(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:MAX_DETAIL]


class ModelMissing(AgentFailed):
    def __init__(self, detail: str) -> None:
        super().__init__(Reason.MODEL_NOT_FOUND, detail)


class RpcFailure(AgentFailed):
    def __init__(self, *, method: str, code: int, message: str, data: object) -> None:
        super().__init__(reason_of(code=code, message=message, data=data), f"{method}: {message}")
        self.code = code
        self.data = data


class ConnectionLost(AgentFailed):
    def __init__(self, detail: str = "the agent closed its connection") -> None:
        super().__init__(Reason.AGENT_CRASHED, detail)


def reason_of(*, code: int, message: str, data: object) -> Reason:
    """Reads an error answer; what it does not know is `agent_error`."""
    if isinstance(data, dict):
        kind = cast("dict[str, Any]", data).get("errorKind")
        if isinstance(kind, str) and kind in _BY_KIND:
            return _BY_KIND[kind]
    if code in _BY_CODE:
        return _BY_CODE[code]
    for text, reason in _BY_TEXT.items():
        if text in message:
            return reason
    return Reason.AGENT_ERROR
