"""An attempt that ended without a result: tried again, parked, or given up. Pure.

`failures` counts: backoff and the cap look at it; drains, upgrades and parks don't raise it.
`losses` counts lost hosts, containers and executors in a row.
"""

import secrets

from contracts.events import RunRetrying
from contracts.reasons import ADVICE, Reason
from contracts.runs import RunState
from control_plane.domain.line import Policy, awaits_person, finish, park, requeue
from control_plane.domain.session_state import RunEnd, RunRow, SessionState

REFUSED = frozenset(
    {
        Reason.IMAGE_NOT_ALLOWED,
        Reason.IMAGE_MISSING,
        Reason.RUNTIME_MISSING,
        Reason.TIER_REFUSED,
    }
)
"""A host did not start the worker, and said which of its rules it was: another may."""
LOSSES = REFUSED | {
    Reason.WORKER_LOST,
    Reason.WORKER_START_FAILED,
    Reason.EXECUTOR_INTERRUPTED,
}
NEEDS_SOMEBODY = frozenset({Reason.DISK_FULL})
"""Another worker with the same limits would end alike."""


def lose(
    state: SessionState, run: RunRow, reason: Reason, policy: Policy, detail: str = ""
) -> None:
    """Its worker is gone: a waiting run with an open ask parks, any other is tried again."""
    waiting = run.state is RunState.WAITING and not run.cancel_requested
    if waiting and awaits_person(state):
        park(state, run, reason)
    else:
        retry_or_fail(state, run, reason, policy, detail=detail)


def retry_or_fail(
    state: SessionState, run: RunRow, reason: Reason, policy: Policy, *, detail: str = ""
) -> None:
    """The attempt is over without a result: requeued with backoff, or failed when too many were."""
    counts = ADVICE[reason].counts_as_failure
    failures = run.failures + (1 if counts else 0)
    losses = run.losses + 1 if reason in LOSSES else 0
    failed_too_often = counts and reason not in LOSSES and failures >= run.max_failures
    lost_too_often = losses >= policy.max_losses
    if run.cancel_requested:
        finish(state, run, RunState.CANCELED, RunEnd(reason=Reason.CANCELED))
    elif reason in NEEDS_SOMEBODY:
        finish(state, run, RunState.BLOCKED, RunEnd(reason=reason, detail=detail))
    elif lost_too_often and reason not in REFUSED:
        end = RunEnd(reason=Reason.WORKER_LOST_REPEATEDLY, detail=f"last: {reason}. {detail}")
        finish(state, run, RunState.FAILED, end)
    elif lost_too_often or failed_too_often:
        finish(state, run, RunState.FAILED, RunEnd(reason=reason, detail=detail))
    else:
        run.failures, run.losses = failures, losses
        delay = backoff(failures, policy) if counts else 0.0
        _retry(state, run, reason, delay=delay, detail=detail)


def _retry(state: SessionState, run: RunRow, reason: Reason, *, delay: float, detail: str) -> None:
    state.tell(
        RunRetrying(
            reason=reason,
            next_attempt=run.attempt + 1,
            failures=run.failures,
            delay_seconds=round(delay, 3),
            detail=detail,
        ),
        run=run,
        project=True,
    )
    requeue(state, run, delay=delay)


def backoff(failures: int, policy: Policy) -> float:
    """Exponential with full jitter: uniform over (0, min(cap, base * 2^(failures-1))]."""
    ceiling = min(policy.backoff_cap, policy.backoff_base * 2 ** max(0, failures - 1))
    return ceiling * (1 + secrets.randbelow(1000)) / 1000
