"""What a turn's end means: the agent's stop reason or failure, against what was asked of it."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from contracts.reasons import Reason
from executor.agents.errors import AgentFailed
from executor.agents.updates import PromptResult

Outcome = Literal["completed", "canceled", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    reason: Reason
    detail: str = ""


_STOP_REASONS = {
    "end_turn": Verdict("completed", Reason.COMPLETED),
    "max_tokens": Verdict("failed", Reason.OUTPUT_LIMIT),
    "max_turn_requests": Verdict("failed", Reason.TURN_LIMIT),
    "refusal": Verdict("failed", Reason.REFUSED_BY_MODEL),
}


def read_result(result: dict[str, Any]) -> PromptResult:
    """A result that cannot be read keeps its stop reason, if it has one at all."""
    try:
        return msgspec.convert(result, PromptResult)
    except msgspec.ValidationError:
        return PromptResult(stop_reason=str(result.get("stopReason", "")))


def judge(
    *,
    failure: AgentFailed | None,
    stop_reason: str,
    ending: Reason | None,
    refused: bool,
    went_on: bool,
    abandoned: bool,
    system_error: bool,
) -> Verdict:
    """What we asked for comes first: after it, an agent's own words say little.

    `refused`: a person's last decision was a no; `went_on`: the agent did something after it.
    """
    if abandoned:
        return Verdict("stopped", Reason.EXECUTOR_INTERRUPTED)
    if ending is Reason.CANCELED:
        return Verdict("canceled", Reason.CANCELED)
    if ending is not None:
        return Verdict("failed", ending)
    if failure is not None:
        return Verdict("failed", failure.reason, failure.detail)
    if refused and (stop_reason == "cancelled" or not went_on):
        # Codex cancels a turn at a refusal, OpenCode ends it as if it were done
        return Verdict("failed", Reason.REFUSED_BY_PERSON, "the agent stopped at the refusal")
    return _of_stop_reason(stop_reason, system_error=system_error)


def _of_stop_reason(stop_reason: str, *, system_error: bool) -> Verdict:
    if stop_reason == "cancelled":
        return Verdict("failed", Reason.AGENT_ERROR, "the agent cancelled the turn itself")
    if system_error:
        return Verdict("failed", Reason.AGENT_ERROR, "the agent reported a system error")
    unknown = Verdict("failed", Reason.AGENT_ERROR, f"unknown stop reason {stop_reason[:200]!r}")
    return _STOP_REASONS.get(stop_reason, unknown)
