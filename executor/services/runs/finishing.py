"""The end of an attempt: no process left, the workspace saved, exactly one report."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from chassis.clock import Clock
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.reasons import Reason
from contracts.spool import AnyEntry, RunFinishedReported, RunInterrupted, RunParkedReported
from executor.relay import pause
from executor.reporter import RunReporter
from executor.services.runs.endings import Ending, EndRequest
from executor.services.runs.outcome import CANCELED, Finish
from executor.services.saves import Saves
from executor.workspace.errors import SaveFailed, told

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Covered:
    """`unsaved`: what the attempt wrote is in no snapshot yet."""

    snapshot_id: UUID | None
    unsaved: bool


async def save_run(saves: Saves, run: RunReporter, *, deadline: float, clock: Clock) -> Covered:
    """Tries until `deadline` seconds have passed; the run tells why it failed, in the end. Raises
    `Superseded`.
    """
    if not saves.dirty:
        return Covered(saves.head, unsaved=False)
    ends = clock.monotonic() + deadline
    attempt, why = 0, told(TimeoutError())
    while (left := ends - clock.monotonic()) > 0:
        attempt += 1
        try:
            async with asyncio.timeout(left):
                return Covered(await saves.acknowledged(run), unsaved=False)
        except (SaveFailed, OSError, TimeoutError) as error:
            if not saves.dirty:
                # its commit is in the spool: what failed or was late came after that
                return Covered(saves.head, unsaved=False)
            why = told(error)
            _log.warning("save_failed", attempt=attempt, reason=why)
            if isinstance(error, SaveFailed) and error.permanent:
                break
        await clock.sleep(min(pause(attempt), max(0.0, ends - clock.monotonic())))
    await run.warning("workspace_unsaved", why)
    return Covered(None, unsaved=True)


async def report(
    run: RunReporter, finish: Finish | None, request: EndRequest, covered: Covered
) -> None:
    entry = _entry(run, finish, request, covered)
    if entry is None:
        return
    await failpoint("finish.before_report")
    await run.entry(entry)
    await failpoint("finish.after_report")


def _entry(
    run: RunReporter, finish: Finish | None, request: EndRequest, covered: Covered
) -> AnyEntry | None:
    if request.ending is Ending.DISOWNED:
        return None
    if finish is None and request.canceled:
        finish = CANCELED
    if finish is not None:
        return _finished(run, finish, covered)
    if request.ending is Ending.PARKED and covered.snapshot_id and not covered.unsaved:
        return RunParkedReported(**run.stamp(), snapshot_id=covered.snapshot_id)
    reason, detail = _interruption(request.ending)
    return RunInterrupted(**run.stamp(), reason=reason, detail=detail)


def _finished(run: RunReporter, finish: Finish, covered: Covered) -> RunFinishedReported:
    return RunFinishedReported(
        **run.stamp(),
        state=finish.state,
        reason=finish.reason,
        detail=finish.detail,
        retryable=finish.retryable,
        snapshot_id=covered.snapshot_id,
        unsaved=covered.unsaved,
        output=finish.output,
        usage=finish.usage,
    )


def _interruption(ending: Ending | None) -> tuple[Reason, str]:
    match ending:
        case Ending.DRAINED:
            return Reason.DRAINED, ""
        case Ending.PARKED:
            return Reason.EXECUTOR_INTERRUPTED, "it could not be saved for parking"
        case Ending.OUTAGE:
            return Reason.EXECUTOR_INTERRUPTED, "the control plane could not be reached"
        case _:
            return Reason.EXECUTOR_INTERRUPTED, "the executor failed; see its log"
