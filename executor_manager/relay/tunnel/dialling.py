"""Connections to addresses that were checked: never to a name, which would be resolved again."""

import asyncio
from collections.abc import Sequence

from executor_manager.relay.tunnel.addresses import Address

ADDRESSES = 8
"""Of one name are tried at most."""
EACH_SECONDS = 3.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(
    addresses: Sequence[Address], port: int, *, seconds: float, limit: int
) -> Connection | None:
    """None: none of them accepts. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        for address in addresses[:ADDRESSES]:
            try:
                async with asyncio.timeout(EACH_SECONDS):
                    return await asyncio.open_connection(str(address), port, limit=limit)
            except (TimeoutError, OSError):
                continue
    return None


async def close_within(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Whoever does not take what is left has it cut: closing alone would wait for ever."""
    writer.close()
    try:
        async with asyncio.timeout(seconds):
            await writer.wait_closed()
    except OSError:
        pass
    finally:
        writer.transport.abort()
