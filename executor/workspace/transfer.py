"""Objects out and in, through the relay: bounded attempts, a new URL when one has expired."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeVar

from chassis.errors import CallFailed
from contracts.errors import Code
from contracts.snapshots import (
    DOWNLOADS,
    MAX_OBJECT_BYTES,
    UPLOADS,
    AskDownloads,
    AskUploads,
    Signed,
    UploadAsk,
)
from executor.object_calls import Content
from executor.relay import ObjectFailed, Relay, is_refusal, pause
from executor.threads import in_thread
from executor.workspace.digests import md5_of
from executor.workspace.errors import RestoreFailed, SaveFailed

ATTEMPTS = 8
UNANSWERED = 2
"""Attempts, one after the other, after which another URL is asked for: a store that refuses an
expired one may close before it has taken the body, and its answer is lost by that."""
ASK_KEYS = 256
DIGESTS = 2
"""At once: the executor's own threads have other work too."""

Purpose = Literal["pack", "manifest", "spool"]
T = TypeVar("T")


class Superseded(Exception):
    """The control plane answered `stale_epoch`."""


class Store(Protocol):
    """All that saving and restoring need of an object store."""

    async def upload(self, purpose: Purpose, content: Content) -> str:
        """The key it got. Raises `SaveFailed`, `Superseded`."""
        ...

    async def fetch(self, signed: Signed, *, limit: int) -> Content:
        """Raises `RestoreFailed`, `Superseded`."""
        ...

    def expect(self, keys: list[str]) -> None:
        """They will be read, in about this order."""
        ...

    async def read(self, key: str, stretch: tuple[int, int], *, whole: bool) -> Content:
        """`stretch` is (offset, length); of a `whole` object it is all. Raises as `fetch`."""
        ...


class Transfer:
    """A `Store`."""

    def __init__(self, relay: Relay, *, epoch: int) -> None:
        self._relay = relay
        self._epoch = epoch
        self._digesting = asyncio.Semaphore(DIGESTS)
        self._signing = asyncio.Lock()
        self._expected: list[str] = []
        self._signed: dict[str, Signed] = {}

    async def upload(self, purpose: Purpose, content: Content) -> str:
        if len(content) > MAX_OBJECT_BYTES:
            raise SaveFailed("object_too_large", f"{purpose}: {len(content)} bytes")
        async with self._digesting:
            digest = await in_thread(md5_of, content)
        ask = UploadAsk(purpose=purpose, length=len(content), md5=digest)
        signed: Signed | None = None
        unanswered = 0

        async def attempt() -> str:
            nonlocal signed, unanswered
            if signed is None:
                asked = AskUploads(epoch=self._epoch, objects=[ask])
                signed = (await self._relay.call(UPLOADS, asked)).objects[0]
            try:
                await self._relay.put(signed, content)
            except ObjectFailed as failure:
                unanswered = 0 if failure.status else unanswered + 1
                if failure.expired or unanswered == UNANSWERED:
                    signed, unanswered = None, 0
                raise
            return signed.key

        return await _persistently(attempt, SaveFailed("upload_failed", purpose))

    async def fetch(self, signed: Signed, *, limit: int) -> Content:
        return await self._get(signed.key, signed, limit=limit)

    def expect(self, keys: list[str]) -> None:
        self._expected = list(keys)
        self._signed.clear()

    async def read(self, key: str, stretch: tuple[int, int], *, whole: bool) -> Content:
        asked = None if whole else stretch
        return await self._get(key, None, limit=stretch[1], stretch=asked)

    async def _get(
        self,
        key: str,
        signed: Signed | None,
        *,
        limit: int,
        stretch: tuple[int, int] | None = None,
    ) -> Content:
        if signed is not None:
            self._signed[key] = signed

        async def attempt() -> Content:
            try:
                return await self._relay.get(await self._sign(key), limit=limit, stretch=stretch)
            except ObjectFailed as failure:
                if failure.expired:
                    self._signed.pop(key, None)
                raise

        return await _persistently(attempt, RestoreFailed("download_failed", key))

    async def _sign(self, key: str) -> Signed:
        """With those that are expected after it: one call for many."""
        async with self._signing:
            if key not in self._signed:
                if key in self._expected:
                    del self._expected[: self._expected.index(key)]
                keys = [key, *(one for one in self._expected if one != key)][:ASK_KEYS]
                answer = await self._relay.call(DOWNLOADS, AskDownloads(keys=keys))
                self._signed.update(zip(keys, answer.objects, strict=True))
            return self._signed[key]


async def _persistently(attempt: Callable[[], Awaitable[T]], failed: Exception) -> T:
    """Bounded attempts at the object store, then `failed`. A control plane that is away is waited
    for: whoever has a deadline cancels this.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except CallFailed as failure:
            if failure.code == Code.STALE_EPOCH:
                raise Superseded(str(failure)) from failure
            if is_refusal(failure):
                raise failed from failure
        except ObjectFailed as failure:
            failures += 1
            if failures >= ATTEMPTS or failure.status == 404:
                raise failed from failure
        await asyncio.sleep(pause(failures + 1))
