"""Processes of the agent's uid that are not the agent's: they outlive its runs.

A person's terminals and commands run as the agent's user, on purpose. What runs below one of their
keepers is theirs. Ending all else of that uid cannot be done at one blow then, which is what
otherwise proves that nothing slipped through (`executor.agents.ending`). The proof here is another:
with the spared ones standing still, no process was begun in this container while the list of the
others was read, and the list was empty.
"""

import signal
import threading
import time
from pathlib import Path

from executor.agents.keeper import FREEZE_ROUNDS, descendants, freeze, signal_all
from executor.identity import Identity

SPARE_SECONDS = 5.0
"""For ending the others alone; then the spared ones end with them."""
PAUSE = 0.005


class Spared:
    def __init__(self) -> None:
        self._keepers: set[int] = set()
        self._held: set[int] = set()
        """Stopped by us. What was stopped already, such as a job by Ctrl-Z, stays so."""
        self._holding = False
        self._one = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._keepers)

    def add(self, keeper: int) -> None:
        """What starts while the others stand still does so too."""
        with self._one:
            self._keepers.add(keeper)
            if self._holding:
                self._stop()

    def remove(self, keeper: int) -> None:
        self._keepers.discard(keeper)

    def processes(self) -> list[int]:
        """Parents first."""
        found: list[int] = []
        for keeper in list(self._keepers):
            found += [keeper, *descendants(keeper)]
        return found

    def hold(self) -> None:
        """Several may: the first to let go does so for all."""
        with self._one:
            self._holding = True
            self._stop()

    def let_go(self) -> None:
        """The youngest first: nobody wakes to see a child of its own stopped."""
        with self._one:
            self._holding = False
            signal_all(sorted(self._held, reverse=True), signal.SIGCONT)
            self._held.clear()

    def _stop(self) -> None:
        """Until nothing new appears, as `freeze`."""
        for _ in range(FREEZE_ROUNDS):
            fresh = [pid for pid in self.processes() if pid not in self._held and _runs(pid)]
            if not fresh:
                break
            signal_all(fresh, signal.SIGSTOP)
            self._held.update(fresh)


def end_others(identity: Identity, spared: Spared) -> bool:
    """Blocks. False: it could not be proven that no other process of this uid is left."""
    ends = time.monotonic() + SPARE_SECONDS
    spared.hold()
    try:
        while time.monotonic() < ends:
            begun = last_begun()
            others = identity.processes(keep=frozenset(spared.processes()))
            if not others and begun and begun == last_begun():
                return True
            signal_all(
                freeze(lambda: identity.processes(keep=frozenset(spared.processes()))),
                signal.SIGKILL,
            )
            time.sleep(PAUSE)
    finally:
        spared.let_go()
    return False


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "Tt"


def last_begun() -> int:
    """The number of the process or thread that was begun last in this pid namespace (`proc(5)`,
    loadavg). 0 where the kernel does not say.
    """
    return int(Path("/proc/loadavg").read_text().split()[4])
