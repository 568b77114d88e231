"""A backend's blocking work, in threads and with deadlines: nothing it waits for stops the loop."""

import asyncio
import contextlib
import errno
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from executor_manager.containers.errors import BackendError, NoSpace, Timeout

T = TypeVar("T")

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENFILE, errno.EMFILE, errno.EAGAIN})
"""EAGAIN is what starting one process too many gives."""


class Threads:
    def __init__(self, name: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def call(self, work: Callable[[], T], deadline: float, *, sure: bool = False) -> T:
        """Raises `Timeout` after `deadline` seconds, while the work itself may go on; an OSError
        becomes `BackendError` or `NoSpace`. `sure`: it is done even if nobody waits any more.
        """
        asked = self._pool.submit(work)
        done = asyncio.wrap_future(asked)
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.shield(done)
        except asyncio.CancelledError:
            _give_up(asked, done, sure=sure)
            raise
        except TimeoutError:
            _give_up(asked, done, sure=sure)
            raise Timeout(f"no answer within {deadline:g} s") from None
        except OSError as error:
            kind = NoSpace if error.errno in _NO_SPACE else BackendError
            raise kind(f"{error.strerror}: {error.filename}") from error

    def later(self, work: Callable[[], None]) -> None:
        """Nobody hears how it ends. After `close`: nothing."""
        with contextlib.suppress(RuntimeError):
            self._pool.submit(work)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _give_up(asked: Future[T], done: asyncio.Future[T], *, sure: bool) -> None:
    """What still waits for a thread would be done long after somebody else took over."""
    done.add_done_callback(_ignore)
    if not sure:
        asked.cancel()


def _ignore(done: asyncio.Future[T]) -> None:
    if not done.cancelled():
        done.exception()  # nobody waits for it any more
