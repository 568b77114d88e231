"""The end of every process of an agent that has a uid of its own: known by that uid alone.

What the agent did to its parents, sessions, signal handlers or environment makes no difference, and
nothing is read of a process but its uid. First all are stopped, for what stands still starts no
other; what still starts faster than it can be found (each process only ever starting the next one)
is ended by one `kill(-1)` of that uid, which the kernel does while nothing can be started.
"""

import signal
import subprocess
import time

from chassis.logs import get_logger
from executor.agents.keeper import GIVE_UP, freeze, signal_all
from executor.identity import Identity, spawned_as

PAUSE = 0.01
SWEEP_AFTER = 5
"""Rounds of finding and killing."""
SWEEP_DEADLINE = 5.0

_log = get_logger()


def end_all(identity: Identity, *, deadline: float = GIVE_UP) -> list[int]:
    """Blocks until none is left; gives what outlived the deadline (an uninterruptible wait)."""
    ends = time.monotonic() + deadline
    rounds = 0
    while left := identity.processes():
        if time.monotonic() > ends:
            _log.error("agent_outlived_its_kill", processes=left)
            return left
        signal_all(freeze(identity.processes), signal.SIGKILL)
        rounds += 1
        if rounds > SWEEP_AFTER:
            _sweep(identity)
        time.sleep(PAUSE)
    return []


def _sweep(identity: Identity) -> None:
    try:
        subprocess.run(
            ["/bin/sh", "-c", "kill -s KILL -- -1"],
            **spawned_as(identity),
            env={},
            cwd="/",
            check=False,
            capture_output=True,
            timeout=SWEEP_DEADLINE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        # it can be stopped by those whom it is to end; the next round begins with them
        _log.warning("sweep_failed", reason=str(error))
