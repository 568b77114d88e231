"""Names to addresses, outside of the session, in threads of their own: one session's slow names
must neither hold up another's nor what else the relay does in threads.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_address

from executor_manager.relay.tunnel.addresses import Address

THREADS = 32
AT_ONCE = 4
"""Of one worker."""

Lookup = Callable[[str], list[Address]]
"""Blocks. Raises `OSError`."""


class NameUnknown(Exception):
    pass


def system_lookup(host: str) -> list[Address]:
    """As the relay's host resolves names: hosts file, search order and all."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(address[0]) for *_, address in found))


class Resolver:
    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(THREADS, "resolve")

    def submit(self, host: str) -> Future[list[Address]]:
        return self._pool.submit(self._lookup, host)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Names:
    """For one worker."""

    def __init__(self, resolver: Resolver, *, seconds: float) -> None:
        self._resolver = resolver
        self._seconds = seconds
        self._room = asyncio.Semaphore(AT_ONCE)

    async def addresses(self, host: str) -> list[Address]:
        """Asked once. Raises `NameUnknown`, `TimeoutError`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._seconds):
            await self._room.acquire()
            asked = self._resolver.submit(host)
            # a thread cannot be stopped: it counts for as long as it runs, whoever waits for it
            asked.add_done_callback(lambda _: _tell(loop, self._room.release))
            try:
                found = await asyncio.wrap_future(asked)
            except (OSError, ValueError) as error:  # an address of no known form
                raise NameUnknown(host) from error
        if not found:
            raise NameUnknown(host)
        return found


def _tell(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(done)
