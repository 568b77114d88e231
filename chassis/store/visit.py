"""One visit to an object store: everything that it writes lies below a prefix of its own."""

import base64
import hashlib
from types import TracebackType
from typing import Self

import httpx
import msgspec

from chassis.errors import DependencyUnavailable
from chassis.ids import new_id
from chassis.objects import PresignedUrl
from chassis.store.access import StoreAccess

DEADLINE = 5.0
"""Seconds for one request."""

BODY = b"what Berth asks of an object store"
WRONG = BODY[::-1]
"""As long as `BODY`."""

REFUSED = "refused/"
"""What must be refused is sent below it, so that what was kept of that can be found."""


class Objection(Exception):
    """What the store did, and should not have."""


class Visit:
    """An async context, which leaves nothing behind, as far as the store lets it."""

    def __init__(self, access: StoreAccess) -> None:
        # to the address that we reach ourselves: the relays' may be none from here
        self.access = msgspec.structs.replace(access, signed_url=None)
        self.store = self.access.open(deadline=DEADLINE)
        self.http = httpx.AsyncClient(trust_env=False, timeout=DEADLINE)
        self._prefix = f"berth-check/{new_id()}/"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            for one in await self.store.list(self._prefix):
                await self.store.delete(one.key)
        except DependencyUnavailable:
            return  # which then is a finding itself
        finally:
            await self.http.aclose()
            self.store.close()

    def key(self, name: str) -> str:
        return self._prefix + name

    def refused_key(self, name: str) -> str:
        return self.key(REFUSED + name)

    async def kept(self) -> str:
        """The key of an object that is there."""
        key = self.key("kept")
        await self.store.put(key, BODY)
        return key

    def signed_put(self, key: str) -> PresignedUrl:
        """For exactly `BODY`."""
        return self.store.presign_put(key, length=len(BODY), md5_base64=md5(BODY))


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def require_refusal(what: str, answer: httpx.Response) -> None:
    """Raises `Objection`: only a 4xx refuses."""
    if answer.is_success:
        raise Objection(f"it accepts {what}")
    if not answer.is_client_error:
        raise Objection(f"it answers {answer.status_code} to {what}, which is no refusal")
