"""What an attempt came to, as it will be reported."""

from dataclasses import dataclass
from typing import Literal, assert_never

from contracts.events import UsageUpdate
from contracts.reasons import ADVICE, Reason
from executor.agents.errors import AgentFailed, ModelMissing
from executor.agents.turn import TurnResult

BLOCKED = frozenset(
    {
        Reason.AGENT_MISSING,
        Reason.CAPABILITY_MISSING,
        Reason.REQUIRED_PATHS_MISSING,
        Reason.LAYER_CONFLICT,
        Reason.RUNTIME_TOO_OLD,
        Reason.CHECKOUT_REFUSED,
        Reason.CHECKOUT_NOT_FOUND,
        Reason.CHECKOUT_REF_MISSING,
        Reason.CHECKOUT_PLACE_TAKEN,
    }
    | {Reason.DISK_FULL}
)
"""Nothing but a person's doing helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    state: Literal["succeeded", "failed", "blocked", "canceled"]
    reason: Reason
    detail: str = ""
    output: str = ""
    usage: UsageUpdate | None = None

    @property
    def retryable(self) -> bool:
        return self.state == "failed" and ADVICE[self.reason].retry_helps


CANCELED = Finish(state="canceled", reason=Reason.CANCELED)


def failed(reason: Reason, detail: str = "") -> Finish:
    state = "blocked" if reason in BLOCKED else "failed"
    return Finish(state=state, reason=reason, detail=detail)


def of_failure(failure: AgentFailed) -> Finish:
    if isinstance(failure, ModelMissing):
        return Finish(state="blocked", reason=failure.reason, detail=failure.detail)
    return failed(failure.reason, failure.detail)


def of_turn(result: TurnResult) -> Finish | None:
    """None for a turn that was stopped under the agent: it says nothing about the work."""
    match result.outcome:
        case "completed":
            state = "succeeded"
        case "canceled":
            state = "canceled"
        case "failed":
            state = "blocked" if result.reason in BLOCKED else "failed"
        case "stopped":
            return None
        case _:
            assert_never(result.outcome)
    return Finish(
        state=state,
        reason=result.reason,
        detail=result.detail,
        output=result.text,
        usage=result.usage,
    )
