"""The way out: the relay's socket, to the control plane's worker calls and to the object store.

The executor holds no token: the relay knows by the socket who is calling. Object URLs were signed
for the store's own host; the relay restores it.
"""

import asyncio
import random
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from chassis.calls import Calls, Unreachable, Unreadable
from chassis.errors import CallFailed
from contracts.endpoint import Endpoint
from contracts.snapshots import Signed
from executor.http_calls import UnixCalls
from executor.object_calls import Content, Object, ObjectCalls

Req = TypeVar("Req")
Res = TypeVar("Res")

OBJECT_SECONDS = 120.0
"""For one object: 64 MiB at about 0.5 MiB/s."""

WHOLE = 200
REFUSAL_BYTES = 64 * 1024
"""The most that is read of an answer that is no object."""

BACKOFF_FIRST = 0.2
BACKOFF_LONGEST = 5.0


class ObjectFailed(Exception):
    """The object store's answer to one call; `status` is 0 when there was none."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"object store: {status or 'no answer'}: {reason}")
        self.status = status

    @property
    def expired(self) -> bool:
        """A signed URL that is refused: ask for another one."""
        return self.status in {400, 401, 403}


class Relay:
    """`worker_id` fills the path of every worker call."""

    def __init__(self, control_dir: Path, worker_id: str) -> None:
        self._path = {"worker_id": worker_id}
        self._socket = UnixCalls(str(control_dir / "relay.sock"))
        self._objects = ObjectCalls(str(control_dir / "relay.sock"))
        self._calls = Calls(self._socket, target="control_plane")
        # reports are tried again by the sender, which must see every failure
        self._reports = Calls(self._socket, target="control_plane", attempts=1)

    async def call(self, endpoint: Endpoint[Req, Res], body: Req, **path: str) -> Res:
        """Raises `CallFailed` after a few attempts."""
        return await self._calls.call(endpoint, body, path={**self._path, **path})

    async def call_once(self, endpoint: Endpoint[Req, Res], body: Req) -> Res:
        return await self._reports.call(endpoint, body, path=self._path)

    async def call_until_answered(
        self, endpoint: Endpoint[Req, Res], body: Req, **path: str
    ) -> Res:
        """Tries for ever while the control plane is away; raises `CallFailed` for its refusal."""
        attempt = 0
        while True:
            try:
                return await self.call(endpoint, body, **path)
            except CallFailed as failure:
                if is_refusal(failure):
                    raise
            attempt += 1
            await asyncio.sleep(pause(attempt))

    async def put(self, signed: Signed, content: Content) -> None:
        """Raises `ObjectFailed`."""
        await _answered(self._objects.put(object_target(signed.url), signed.headers, content))

    async def get(
        self, signed: Signed, *, limit: int, stretch: tuple[int, int] | None = None
    ) -> bytearray:
        """All of it, or of a `stretch` (offset, length) only that.

        Raises `ObjectFailed`, also for an object of more than `limit` bytes.
        """
        headers = dict(signed.headers)
        if stretch is not None:
            offset, length = stretch
            headers["range"] = f"bytes={offset}-{offset + length - 1}"
        reach = max(limit, REFUSAL_BYTES)
        answer = await _answered(self._objects.get(object_target(signed.url), headers, limit=reach))
        content = answer.content
        if stretch is not None and answer.status == WHOLE:
            # a store that knows no ranges
            content = content[stretch[0] : sum(stretch)]
        if len(content) > limit:
            raise ObjectFailed(200, f"larger than {limit} bytes")
        return content

    async def aclose(self) -> None:
        await self._socket.aclose()
        await self._objects.aclose()


async def _answered(exchange: Awaitable[Object]) -> Object:
    try:
        async with asyncio.timeout(OBJECT_SECONDS):
            answer = await exchange
    except (TimeoutError, Unreachable) as error:
        raise ObjectFailed(0, repr(error)) from error
    except Unreadable as error:
        raise ObjectFailed(WHOLE, str(error)) from error
    if not 200 <= answer.status < 300:
        raise ObjectFailed(answer.status, answer.content.decode(errors="replace")[:300])
    return answer


def object_target(url: str) -> str:
    """The signed path and query byte for byte: another spelling breaks the signature."""
    parts = urlsplit(url)
    return f"/objects{parts.path}" + (f"?{parts.query}" if parts.query else "")


def is_refusal(failure: CallFailed) -> bool:
    """The control plane itself said no: the same call will not succeed.

    401 is no refusal: the relay may not have its new token yet.
    """
    if failure.kind != "http" or failure.status is None:
        return False
    return 400 <= failure.status < 500 and failure.status not in {401, 403, 408, 425, 429}


def pause(attempt: int) -> float:
    """Seconds before the next attempt, with full jitter; `attempt` counts from 1."""
    longest = min(BACKOFF_FIRST * 2 ** min(attempt, 10), BACKOFF_LONGEST)
    return random.uniform(BACKOFF_FIRST / 2, longest)  # noqa: S311  # no secret depends on it
