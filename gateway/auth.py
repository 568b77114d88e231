"""Who is calling: the key's hash is asked of the control plane and remembered for a few seconds.

What is remembered bounds how long a revoked key still works. Without the control plane there is no
answer, and nobody gets in.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from litestar.datastructures import Headers

from chassis.auth import hash_token, sign_identity
from chassis.client import ServiceClient
from chassis.clock import Clock
from chassis.errors import BerthError, CallFailed, DependencyUnavailable
from contracts.errors import Code
from contracts.identity import INTROSPECT, Introspect, Introspected

T = TypeVar("T")

AUDIENCE = "control_plane"
REMEMBERED_SECONDS = 8.0
"""From the asking on; 10 s are promised as the bound on revocation."""

MOST_REMEMBERED = 20_000

_PLAUSIBLE = re.compile(r"[!-~]{8,256}")


@dataclass(frozen=True, slots=True)
class Caller:
    key_id: str
    identity: str
    """Signed, good for longer than it is remembered."""
    rate_limit: int | None


class Callers:
    def __init__(self, control_plane: ServiceClient, signing_key: str, clock: Clock) -> None:
        self._control_plane = control_plane
        self._signing_key = signing_key
        # apart, so that a flood of wrong keys pushes no right one out
        self._known: _Remembered[Caller] = _Remembered(clock)
        self._refused: _Remembered[bool] = _Remembered(clock)
        self._asked: dict[str, asyncio.Task[Caller | None]] = {}
        self._clock = clock

    async def identify(self, headers: Headers) -> Caller:
        """Raises `unauthenticated`, or `DependencyUnavailable` when the control plane is away."""
        key = presented_key(headers)
        if not _PLAUSIBLE.fullmatch(key):
            raise BerthError(Code.UNAUTHENTICATED, "send a key as Authorization: Bearer")
        key_hash = hash_token(key)
        caller = self._known.get(key_hash)
        if caller is None and not self._refused.get(key_hash):
            caller = await self._ask_once(key_hash)
        if caller is None:
            raise BerthError(Code.UNAUTHENTICATED, "this key is not known, or was revoked")
        return caller

    async def _ask_once(self, key_hash: str) -> Caller | None:
        task = self._asked.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._ask(key_hash))
            self._asked[key_hash] = task
            task.add_done_callback(lambda done: self._answered(key_hash, done))
        # whoever leaves first must not take the answer from the others
        return await asyncio.shield(task)

    def _answered(self, key_hash: str, task: asyncio.Task[Caller | None]) -> None:
        del self._asked[key_hash]
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains when every waiter has left

    async def _ask(self, key_hash: str) -> Caller | None:
        asked_at = self._clock.monotonic()
        try:
            found = await self._control_plane.call(INTROSPECT, Introspect(key_hash=key_hash))
        except CallFailed as error:
            how = f"see that it runs, and accepts the gateway's service key ({error.reason})"
            raise DependencyUnavailable("control_plane", how, retry_after=1) from error
        caller = self._caller(found)
        if caller is None:
            self._refused.put(key_hash, value=True, since=asked_at)
        else:
            self._known.put(key_hash, value=caller, since=asked_at)
        return caller

    def _caller(self, found: Introspected) -> Caller | None:
        if not found.active or found.claims is None:
            return None
        identity = sign_identity(self._signing_key, found.claims, AUDIENCE)
        return Caller(str(found.claims.key_id), identity, found.rate_limit)


def presented_key(headers: Headers) -> str:
    """From `Authorization: Bearer`, else `X-API-Key`; empty if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key", "").strip()


class _Remembered(Generic[T]):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, key: str) -> T | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock.monotonic():
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: str, *, value: T, since: float) -> None:
        self._entries[key] = (since + REMEMBERED_SECONDS, value)
        self._entries.move_to_end(key)
        if len(self._entries) > MOST_REMEMBERED:
            self._entries.popitem(last=False)
