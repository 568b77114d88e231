"""Waits for an upstream that does not accept connections; after its first byte nothing is again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from chassis.failpoints import failpoint

CONNECT_SECONDS = 3.0
RETRY_FIRST = 0.05
RETRY_LONGEST = 0.5

AWAY = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Nothing was sent yet: only after these is a request tried again."""

T = TypeVar("T")


async def until_connected(
    send: Callable[[], Awaitable[T | None]], *, seconds: float, hung_up: Callable[[], bool]
) -> T | None:
    """What `send` gives; None if it gave None, which is tried again as well, up to the end.

    Raises what it raised last. One whose certificate is wrong is not away.
    """
    clock = asyncio.get_running_loop()
    ends = clock.time() + seconds
    pause = RETRY_FIRST
    while True:
        try:
            if (sent := await send()) is not None:
                return sent
        except aiohttp.ClientSSLError:
            raise
        except AWAY:
            if clock.time() + pause >= ends or hung_up():
                raise
        if clock.time() + pause >= ends:
            return None
        await failpoint("relay.upstream_away")
        await asyncio.sleep(pause)
        pause = min(pause * 2, RETRY_LONGEST)
