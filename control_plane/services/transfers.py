"""Content on its way to somebody: it may take long, but not for ever."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.workspace_files import TRANSFER_SECONDS


async def timed(made: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Raises `upstream_timeout`."""
    until = time.monotonic() + TRANSFER_SECONDS
    async with aclosing(made) as pieces:
        async for piece in pieces:
            yield piece
            if time.monotonic() > until:
                detail = f"a download takes at most {TRANSFER_SECONDS:g} s: take a part"
                raise BerthError(Code.UPSTREAM_TIMEOUT, detail)
