"""The end of every process of an agent that has a uid of its own: known by that uid alone.

What the agent did to its parents, sessions, signal handlers or environment makes no difference, and
nothing is read of a process but its uid. One `kill(-1)` of that uid ends them all, which the kernel
does while nothing can be started. Who is to send it can be held up, by the agent or by its limits:
what is left is stopped, for what stands still starts no other, and then killed one by one, until
there is room for it. That a list of processes is empty proves nothing before: one that only starts
the next and ends is in no list.
"""

import signal
import subprocess
import time

from chassis.logs import get_logger
from executor.agents.keeper import GIVE_UP, freeze, signal_all
from executor.agents.spared import Spared, end_others
from executor.identity import Identity, spawned_as

PAUSE = 0.01
SWEEP_DEADLINE = 5.0
NOBODY = 1
"""What the shell's `kill` returns for ESRCH."""

_log = get_logger()


def end_agent(identity: Identity, spared: Spared) -> list[int]:
    """As `end_all`, but for those that are spared, if that can be done and proven."""
    if spared and end_others(identity, spared):
        return []
    if spared:
        _log.error("terminals_end_with_the_agent", reason="it starts processes too fast")
    return end_all(identity)


def end_all(identity: Identity, *, deadline: float = GIVE_UP) -> list[int]:
    """Blocks until none is left; gives what outlived the deadline (an uninterruptible wait)."""
    ends = time.monotonic() + deadline
    while True:
        swept = _sweep(identity)
        left = identity.processes()
        if swept and not left:
            return []
        if time.monotonic() > ends:
            _log.error("agent_outlived_its_kill", processes=left)
            return left
        signal_all(freeze(identity.processes), signal.SIGKILL)
        time.sleep(PAUSE)


def _sweep(identity: Identity) -> bool:
    """Whether the signal was sent: also when there was nobody to get it."""
    try:
        sent = subprocess.run(
            ["/bin/sh", "-c", "kill -s KILL -- -1"],
            **spawned_as(identity),
            env={},
            cwd="/",
            check=False,
            capture_output=True,
            timeout=SWEEP_DEADLINE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        # no room for another process, or it was stopped by those whom it was to end
        _log.warning("sweep_failed", reason=str(error))
        return False
    return sent.returncode in {0, NOBODY}
