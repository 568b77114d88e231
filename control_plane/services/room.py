"""Whether waiting for a run makes sense now: with too many before it, it is not begun.

What is accepted waits in the queue however long that is; nothing is refused to who does not wait.
"""

import secrets

from chassis.errors import DependencyUnavailable
from control_plane.store import system as store
from control_plane.store.database import Unit

RETRY_SECONDS = 5.0
"""At least; with as much again of jitter, so that who was refused together does not come so."""


class Room:
    def __init__(self, wait_queue_limit: int) -> None:
        self._limit = wait_queue_limit

    async def require(self, unit: Unit) -> None:
        """Raises `dependency_unavailable` while more runs than that are queued. Those that are
        accepted at the same moment are not seen: the limit holds about.
        """
        queued = await store.queued(unit.connection, at_most=self._limit + 1)
        if queued > self._limit:
            raise DependencyUnavailable(
                "an executor",
                f"more than {self._limit} runs wait for one: come back later, or ask without"
                " `Prefer: wait` and let it wait in the queue",
                retry_after=round(RETRY_SECONDS * (1 + secrets.randbelow(1000) / 1000), 1),
            )
