"""Whatever a turn ends with has a reason with a remedy; only a known one is a success."""

import itertools

import pytest

from contracts.reasons import ADVICE, Reason
from executor.agents.errors import AgentFailed, ConnectionLost, RpcFailure, reason_of
from executor.agents.verdict import judge

FAILURES = [
    None,
    AgentFailed(Reason.AGENT_SILENT, "it said nothing"),
    ConnectionLost(),
    RpcFailure(method="session/prompt", code=-32603, message="odd", data=None),
    RpcFailure(method="session/prompt", code=1, message="", data=["odd"]),
]
STOP_REASONS = [
    "end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled", "", "of_tomorrow",
]  # fmt: skip
ENDINGS = [None, Reason.CANCELED, Reason.AGENT_SILENT, Reason.DURATION_LIMIT]


def test_judge__has_a_reason_for_everything() -> None:
    flags = list(itertools.product([True, False], repeat=4))
    for failure, stop_reason, ending, (
        refused,
        went_on,
        abandoned,
        system_error,
    ) in itertools.product(FAILURES, STOP_REASONS, ENDINGS, flags):
        verdict = judge(
            failure=failure,
            stop_reason=stop_reason,
            ending=ending,
            refused=refused,
            went_on=went_on,
            abandoned=abandoned,
            system_error=system_error,
        )
        assert ADVICE[verdict.reason].remedy
        assert verdict.detail or verdict.reason is not Reason.AGENT_ERROR
        completed = verdict.outcome == "completed"
        assert completed is (verdict.reason is Reason.COMPLETED)
        if completed:
            assert stop_reason == "end_turn"
            assert (failure, ending, abandoned, system_error) == (None, None, False, False)
            assert went_on or not refused


@pytest.mark.parametrize("data", [None, 5, "x", [], {}, {"errorKind": 1}, {"errorKind": "new"}])
def test_reason_of__what_it_does_not_know_is_the_agents_own_error(data: object) -> None:
    assert reason_of(code=7, message="something of tomorrow", data=data) is Reason.AGENT_ERROR
