"""What a backend threw away: gone at once for whoever looks, its deleting may take its time."""

from collections.abc import Callable, Iterable
from pathlib import Path

from chassis.logs import get_logger
from executor_manager.containers.errors import BackendError, Timeout
from executor_manager.containers.removal import remove_all
from executor_manager.containers.threads import Threads

THREADS = 2
REMOVE_SECONDS = 60.0
TURN_SECONDS = 20.0
"""Of deleting one tree, while others wait, or our own end does."""

_log = get_logger()


class Trash:
    """In threads of its own: a tree of millions of files takes minutes, in which all others must be
    reached.
    """

    def __init__(self, name: str) -> None:
        self.threads = Threads(name, THREADS)

    async def delete(self, bin_: Path) -> None:
        """Raises `BackendError`; it goes on all the same: nobody but the next manager would ask for
        it again.
        """
        await self.threads.call(lambda: self._delete(bin_), REMOVE_SECONDS, sure=True)

    def empty(self, bins: Callable[[], Iterable[Path]]) -> None:
        """What a former manager left. Nothing waits for it: it may be large, or not go at all."""
        self.threads.later(lambda: self._empty(bins()))

    def close(self) -> None:
        self.threads.close()

    def _empty(self, bins: Iterable[Path]) -> None:
        for bin_ in bins:
            try:
                self._delete(bin_)
            except (BackendError, OSError) as error:
                _log.warning("trash_left", place=str(bin_), error=str(error))

    def _delete(self, bin_: Path) -> None:
        try:
            remove_all(bin_, deadline=TURN_SECONDS)
        except Timeout:
            # behind the others, whose are smaller perhaps
            self.threads.later(lambda: self._delete(bin_))
            raise
        bin_.rmdir()
