"""Whether the kernel ended processes of an attempt for want of memory: by its own count.

What an agent says then is only that something died. The executor itself is the last to go: its
agent is offered first (`executor.agents.keeper`). Where it goes too, its manager tells the next.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from chassis.logs import get_logger
from contracts.reasons import Reason
from executor.reporter import RunReporter
from executor.services.runs.outcome import Finish
from executor.threads import in_thread

COUNTERS = ("memory.events", "memory/memory.oom_control")
"""Of cgroups version 2, and of version 1; `oom_kill N` in both."""
FIELD = "oom_kill"
CAUSED = frozenset(
    {Reason.AGENT_CRASHED, Reason.AGENT_ERROR, Reason.AGENT_SILENT, Reason.AGENT_START_FAILED}
)
"""What becomes of an agent, or what it says, when processes of it are ended."""

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one attempt."""

    cgroup: Path | None
    before: int

    @classmethod
    async def of(cls, cgroup: Path | None) -> Self:
        return cls(cgroup, await in_thread(kills, cgroup))

    async def judged(self, finish: Finish | None, run: RunReporter) -> Finish | None:
        """When no process of the agent is left. None: it was ended from outside."""
        ended = await in_thread(kills, self.cgroup) - self.before
        if ended <= 0:
            return finish
        what = f"the kernel ended {ended} of its processes: its memory limit was reached"
        _log.warning("out_of_memory", ended=ended)
        if finish is None or finish.state != "failed" or finish.reason not in CAUSED:
            await run.warning(Reason.OUT_OF_MEMORY, what)
            return finish
        detail = f"{what}; {finish.detail}" if finish.detail else what
        return replace(finish, reason=Reason.OUT_OF_MEMORY, detail=detail)


def kills(cgroup: Path | None) -> int:
    """How many there were in the container's life; 0 where nobody counts."""
    if cgroup is None:
        return 0
    for counter in COUNTERS:
        try:
            lines = (cgroup / counter).read_text().splitlines()
        except OSError:
            continue
        counted = dict(line.split(maxsplit=1) for line in lines if " " in line)
        return int(counted.get(FIELD, "0"))
    return 0
