"""A relay that leads straight to the store: what an executor does with objects, signed right here.

Everything but the signing is the executor's own: its connections, its deadlines, its attempts.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

from contracts.endpoint import Endpoint
from contracts.snapshots import AskDownloads, AskUploads, Downloads, Signed, UploadAsk, Uploads
from executor.object_calls import Content, Object, ObjectCalls
from executor.relay import Relay
from tests.fixtures.signing import Signs

Req = TypeVar("Req")
Res = TypeVar("Res")

NOWHERE = Path("/nowhere")
RELAYED = "/objects"
"""Before each object's path, where a relay leads to several places."""


class Straight(Relay):
    """`url` is where requests go, and what the signer signs for."""

    def __init__(self, url: str, signer: Signs, prefix: str) -> None:
        super().__init__(NOWHERE, "straight")
        self.asked: Counter[str] = Counter()
        """Calls for URLs."""
        self.uploads: dict[str, str] = {}
        """Of each key the MD5 of what goes there: another key may be asked for the same."""
        self._objects = _StraightCalls(url)
        self._signer = signer
        self.prefix = prefix

    async def call(self, endpoint: Endpoint[Req, Res], body: Req, **path: str) -> Res:  # noqa: ARG002  # as its parent's
        if isinstance(body, AskUploads):
            self.asked["uploads"] += 1
            return cast("Res", Uploads(objects=[self._upload(one) for one in body.objects]))
        assert isinstance(body, AskDownloads), endpoint.path
        self.asked["downloads"] += 1
        return cast("Res", Downloads(objects=[self.sign(key) for key in body.keys]))

    def sign(self, key: str) -> Signed:
        made = self._signer.presign_get(key)
        return Signed(key=key, url=made.url, headers=made.headers)

    def _upload(self, ask: UploadAsk) -> Signed:
        key = f"{self.prefix}/{ask.purpose}/{uuid4().hex}"
        self.uploads[key] = ask.md5
        made = self._signer.presign_put(key, length=ask.length, md5_base64=ask.md5)
        return Signed(key=key, url=made.url, headers=made.headers)


class _StraightCalls(ObjectCalls):
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__((parts.hostname or "", parts.port or 80))
        self._host = {"host": parts.netloc}

    async def put(self, target: str, headers: Mapping[str, str], content: Content) -> Object:
        named = {**headers, **self._host}
        return await super().put(target.removeprefix(RELAYED), named, content)

    async def get(self, target: str, headers: Mapping[str, str], *, limit: int) -> Object:
        named = {**headers, **self._host}
        return await super().get(target.removeprefix(RELAYED), named, limit=limit)
