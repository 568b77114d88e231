"""Processes of the agent's uid that are not the agent's: they outlive its runs.

A person's terminals and commands run as the agent's user, on purpose. What runs below one of their
keepers is theirs. Ending all else of that uid cannot be done at one blow then, which is what
otherwise proves that nothing slipped through (`executor.agents.ending`). The proof here is another:
with the spared ones standing still, no process was begun in this container while the list of the
others was read, and the list was empty.
"""

import signal
import time
from pathlib import Path

from executor.agents.keeper import descendants, freeze, signal_all
from executor.identity import Identity

SPARE_SECONDS = 5.0
"""For ending the others alone; then the spared ones end with them."""
PAUSE = 0.005


class Spared:
    def __init__(self) -> None:
        self._keepers: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._keepers)

    def add(self, keeper: int) -> None:
        self._keepers.add(keeper)

    def remove(self, keeper: int) -> None:
        self._keepers.discard(keeper)

    def processes(self) -> list[int]:
        """Parents first."""
        found: list[int] = []
        for keeper in list(self._keepers):
            found += [keeper, *descendants(keeper)]
        return found

    def hold(self) -> None:
        freeze(self.processes)

    def let_go(self) -> None:
        """The youngest first: nobody wakes to see a child of its own stopped."""
        signal_all(sorted(self.processes(), reverse=True), signal.SIGCONT)


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


def last_begun() -> int:
    """The number of the process or thread that was begun last in this pid namespace (`proc(5)`,
    loadavg). 0 where the kernel does not say.
    """
    return int(Path("/proc/loadavg").read_text().split()[4])
