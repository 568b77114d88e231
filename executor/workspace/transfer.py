"""Objects out and in, through the relay: bounded attempts, a new URL when one has expired."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, TypeVar

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
from executor.relay import ObjectFailed, Relay, is_refusal, pause
from executor.threads import in_thread
from executor.workspace.digests import md5_of
from executor.workspace.errors import RestoreFailed, SaveFailed

ATTEMPTS = 8
DOWNLOADS_AHEAD = 4
ASK_KEYS = 256

T = TypeVar("T")


class Superseded(Exception):
    """The control plane answered `stale_epoch`."""


class Transfer:
    def __init__(self, relay: Relay, *, epoch: int) -> None:
        self._relay = relay
        self._epoch = epoch

    async def upload(self, purpose: Literal["pack", "manifest", "spool"], content: bytes) -> str:
        """The key it got. Raises `SaveFailed`, `Superseded`."""
        if len(content) > MAX_OBJECT_BYTES:
            raise SaveFailed("object_too_large", f"{purpose}: {len(content)} bytes")
        digest = await in_thread(md5_of, content)
        ask = UploadAsk(purpose=purpose, length=len(content), md5=digest)
        signed: Signed | None = None

        async def attempt() -> str:
            nonlocal signed
            if signed is None:
                asked = AskUploads(epoch=self._epoch, objects=[ask])
                signed = (await self._relay.call(UPLOADS, asked)).objects[0]
            try:
                await self._relay.put(signed, content)
            except ObjectFailed as failure:
                if failure.expired:
                    signed = None
                raise
            return signed.key

        return await _persistently(attempt, SaveFailed("upload_failed", purpose))

    async def fetch(self, signed: Signed, *, limit: int) -> bytes:
        """Raises `RestoreFailed`, `Superseded`."""

        async def attempt() -> bytes:
            try:
                return await self._relay.get(current[0], limit=limit)
            except ObjectFailed as failure:
                if failure.expired:
                    current[0] = await self._sign(signed.key)
                raise

        current = [signed]
        return await _persistently(attempt, RestoreFailed("download_failed", signed.key))

    async def fetch_all(self, keys: list[str]) -> AsyncIterator[tuple[str, bytes]]:
        """Packs in the order of `keys`, a few of them ahead."""
        ahead: list[tuple[str, asyncio.Task[bytes]]] = []
        left = list(keys)
        signed: dict[str, Signed] = {}
        try:
            while left or ahead:
                while left and len(ahead) < DOWNLOADS_AHEAD:
                    key = left.pop(0)
                    if key not in signed:
                        signed = await self._sign_all([key, *left][:ASK_KEYS])
                    fetching = self.fetch(signed[key], limit=MAX_OBJECT_BYTES)
                    ahead.append((key, asyncio.create_task(fetching)))
                key, task = ahead[0]
                content = await task
                ahead.pop(0)
                yield key, content
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _sign(self, key: str) -> Signed:
        return (await self._sign_all([key]))[key]

    async def _sign_all(self, keys: list[str]) -> dict[str, Signed]:
        async def attempt() -> dict[str, Signed]:
            answer = await self._relay.call(DOWNLOADS, AskDownloads(keys=keys))
            return dict(zip(keys, answer.objects, strict=True))

        return await _persistently(attempt, RestoreFailed("download_refused", keys[0]))


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
