"""The object store: S3's plain calls, in threads with deadlines, and URLs signed for others.

Nothing here uses S3 conditions or metadata: stores differ in them. A signed PUT binds its length
and its MD5, which the tried stores enforce; a signed SHA-256 they accept with a wrong body.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, TypeVar, cast

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

from chassis.errors import DependencyUnavailable, NotFound
from contracts.errors import Code

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds for one call, an object's bytes included."""

THREADS = 16
LONGEST_EXPIRY = 900
"""Seconds. No signed URL lives longer."""

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """To be sent exactly so: they are part of what was signed."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified_at: datetime
    """The store's clock: good for a grace of hours, not for order."""


class CutShort(DependencyUnavailable):
    """The store began to send an object, and ended before its end."""


class ObjectStore:
    """Every call raises `DependencyUnavailable` when the store is away or refuses us.

    `signed_endpoint_url` is the address under which others reach the store, if it differs: a URL is
    good only for the host name that it was signed for.
    """

    def __init__(
        self,
        endpoint_url: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        *,
        signed_endpoint_url: str | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._bucket = bucket
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=deadline,
            retries={"mode": "standard", "max_attempts": 3},
            max_pool_connections=THREADS,
            # stores other than AWS refuse or ignore the newer checksum trailers
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={},
        )
        clients = {
            url: boto3.client(  # pyright: ignore[reportUnknownMemberType]  # only S3's stubs are there
                "s3",
                endpoint_url=url,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                region_name=region,
                config=config,
            )
            for url in {endpoint_url, signed_endpoint_url or endpoint_url}
        }
        self._s3 = clients[endpoint_url]
        self._signer = clients[signed_endpoint_url or endpoint_url]
        self._s3.meta.events.register("before-sign.s3.DeleteObjects", _with_md5)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._s3.close()
        self._signer.close()

    def presign_put(
        self, key: str, *, length: int, md5_base64: str, expires: int = LONGEST_EXPIRY
    ) -> PresignedUrl:
        """For exactly these bytes at exactly this key; `expires` in seconds."""
        url = self._signer.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentLength": length,
                "ContentMD5": md5_base64,
            },
            ExpiresIn=min(expires, LONGEST_EXPIRY),
        )
        return PresignedUrl(url, {"Content-Length": str(length), "Content-MD5": md5_base64})

    def presign_get(self, key: str, expires: int = LONGEST_EXPIRY) -> PresignedUrl:
        url = self._signer.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": key},
            ExpiresIn=min(expires, LONGEST_EXPIRY),
        )
        return PresignedUrl(url)

    async def put(self, key: str, content: bytes) -> None:
        await self._run(lambda: self._s3.put_object(Bucket=self._bucket, Key=key, Body=content))

    async def put_file(self, key: str, content: IO[bytes]) -> None:
        """From where it stands to its end."""
        await self._run(lambda: self._s3.put_object(Bucket=self._bucket, Key=key, Body=content))

    async def get(self, key: str) -> bytes:
        """Raises `NotFound`."""

        def read() -> bytes:
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        return await self._run(read)

    async def get_range(self, key: str, *, offset: int, length: int) -> bytes:
        """Fewer bytes where the object ends before. Raises `NotFound`."""
        wanted = f"bytes={offset}-{offset + length - 1}"

        def read() -> bytes:
            found = self._s3.get_object(Bucket=self._bucket, Key=key, Range=wanted)
            return found["Body"].read()

        return await self._run(read)

    async def get_at_most(self, key: str, limit: int) -> bytes:
        """Its first `limit` bytes and one more, if it has more. Raises `NotFound`."""

        def read() -> bytes:
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read(limit + 1)

        return await self._run(read)

    async def head(self, key: str) -> ObjectInfo:
        """Raises `NotFound`."""
        found = await self._run(lambda: self._s3.head_object(Bucket=self._bucket, Key=key))
        return ObjectInfo(key, found["ContentLength"], found["LastModified"])

    async def delete(self, key: str) -> None:
        """Also when it is not there."""
        try:
            await self._run(lambda: self._s3.delete_object(Bucket=self._bucket, Key=key))
        except NotFound:  # AWS says 204, not every store does
            return

    async def delete_many(self, keys: Sequence[str]) -> list[str]:
        """At most 1000, also such as are not there. Gives those that the store could not."""
        done = await self._run(
            lambda: self._s3.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        )
        failed = [one for one in done.get("Errors", []) if one.get("Code", "") not in _ABSENT]
        return [key for one in failed if (key := one.get("Key")) is not None]

    async def list(
        self, prefix: str = "", *, after: str = "", limit: int = 1000
    ) -> list[ObjectInfo]:
        """In the order of keys, at most 1000; `after` is the last key of the page before."""
        page = await self._run(
            lambda: self._s3.list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, StartAfter=after, MaxKeys=limit
            )
        )
        return [
            ObjectInfo(one["Key"], one["Size"], one["LastModified"])  # pyright: ignore[reportTypedDictNotRequiredAccess]  # S3 always sends them
            for one in page.get("Contents", [])
        ]

    async def ensure_bucket(self) -> None:
        try:
            await self.check()
        except DependencyUnavailable:
            await self._run(lambda: self._s3.create_bucket(Bucket=self._bucket))

    async def check(self) -> None:
        """For readiness: the store answers, knows us, and has the bucket."""
        try:
            await self._run(lambda: self._s3.head_bucket(Bucket=self._bucket))
        except NotFound as error:
            how = f"create the bucket {self._bucket}"
            raise DependencyUnavailable("object_store", how) from error

    async def _run(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline):
                return await loop.run_in_executor(self._threads, call)
        except TimeoutError as error:
            how = f"it did not answer within {self._deadline:g} s"
            raise DependencyUnavailable("object_store", how) from error
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _ABSENT:
                raise NotFound(Code.NOT_FOUND, "there is no such object") from error
            how = f"see that its keys and bucket are right: it answered {code}"
            raise DependencyUnavailable("object_store", how) from error
        except (IncompleteReadError, ResponseStreamingError) as error:
            how = "see its log: what it sent was cut short"
            raise CutShort("object_store", how) from error
        except BotoCoreError as error:
            how = f"start it, or correct its address: {type(error).__name__}"
            raise DependencyUnavailable("object_store", how) from error


def _with_md5(request: AWSRequest, **_: Any) -> None:  # noqa: ANN401 # what botocore tells besides
    """Some stores demand it where several are deleted; botocore sends a newer checksum only."""
    body = cast("bytes", request.body)
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()
