"""A stop that fails in a way that nobody thought of leaves a worker that works."""

import functools
from pathlib import Path

from chassis.failpoints import FailpointReached, arm
from contracts.executors import ExecutorPhase
from contracts.spool import StopFailed, WorkerStoppedReported
from tests.executor.outside import Outside
from tests.executor.running import running


def broken(message: str) -> None:
    raise FailpointReached(message)


async def test_stop__an_unexpected_failure_opens_the_line_again(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        arm("stop.before_report", functools.partial(broken, "by the test"))
        await executor.stop()
        assert (await executor.entry(StopFailed)).reason == "internal"
        await executor.start({"text": "still works"})
        assert (await executor.finish()).state == "succeeded"
        await executor.phase(ExecutorPhase.READY)
        arm("stop.before_report", lambda: None)
        await executor.stop()
        await executor.entry(WorkerStoppedReported)
        await executor.phase(ExecutorPhase.STOPPED)
