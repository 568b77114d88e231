"""A presigned URL is good for one exact call: tried on the embedded store, with raw HTTP.

What a client could change is the body, the headers that were signed, and the URL.
"""

import base64
import contextlib
import datetime
import hashlib
import http.client
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

import botocore.auth
import pytest

from chassis.errors import NotFound
from chassis.objects import ObjectStore, PresignedUrl

BODY = b"the bytes that were announced"
WRONG = b"The bytes that were announced"
KEY = "session/pack-1"
OTHER = "session/pack-2"


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def sign(store: ObjectStore, key: str = KEY, *, expires: int = 900) -> PresignedUrl:
    return store.presign_put(key, length=len(BODY), md5_base64=md5(BODY), expires=expires)


def send(method: str, url: str, headers: dict[str, str], body: bytes) -> int:
    """Exactly these headers and bytes, whatever they claim."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.putrequest(method, f"{parts.path}?{parts.query}", skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def with_headers(body: bytes, **changed: str | None) -> dict[str, str]:
    headers = {"Content-Length": str(len(body)), "Content-MD5": md5(BODY)}
    headers |= {name.replace("_", "-"): value for name, value in changed.items() if value}
    return {name: value for name, value in headers.items() if changed.get(name, "") is not None}


@pytest.fixture
async def store(object_store: ObjectStore) -> ObjectStore:
    await object_store.delete(KEY)
    return object_store


async def untouched(store: ObjectStore, key: str = KEY) -> bool:
    try:
        await store.head(key)
    except NotFound:
        return True
    return False


async def test_put__what_was_announced(store: ObjectStore) -> None:
    signed = sign(store)
    assert send("PUT", signed.url, signed.headers, BODY) == 200
    assert await store.get(KEY) == BODY


LONGER, SHORTER = BODY + b"!", BODY[:-1]
NO_MD5 = {"Content-MD5": None}
CHUNKED = {"Content-Length": None, "Transfer-Encoding": "chunked"}


def chunks(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(WRONG, with_headers(WRONG), id="wrong body"),
        pytest.param(WRONG, with_headers(WRONG, Content_MD5=md5(WRONG)), id="wrong body, its MD5"),
        pytest.param(WRONG, with_headers(WRONG, **NO_MD5), id="wrong body, no MD5"),
        pytest.param(BODY, with_headers(BODY, **NO_MD5), id="right body, no MD5"),
        pytest.param(LONGER, with_headers(LONGER), id="longer"),
        pytest.param(LONGER, with_headers(LONGER, Content_MD5=md5(LONGER)), id="longer, its MD5"),
        pytest.param(LONGER, with_headers(LONGER, **NO_MD5), id="longer, no MD5"),
        pytest.param(SHORTER, with_headers(SHORTER), id="shorter"),
        pytest.param(
            SHORTER, with_headers(SHORTER, Content_MD5=md5(SHORTER)), id="shorter, its MD5"
        ),
        pytest.param(b"", with_headers(b""), id="empty"),
        pytest.param(chunks(BODY), with_headers(BODY, **CHUNKED), id="chunked, right body"),
        pytest.param(chunks(WRONG), with_headers(WRONG, **CHUNKED), id="chunked, wrong body"),
        pytest.param(
            chunks(WRONG), with_headers(WRONG, Transfer_Encoding="chunked"), id="chunked and length"
        ),
        pytest.param(
            BODY, with_headers(BODY, X_Amz_Copy_Source=f"/berth-master/{KEY}"), id="unsigned header"
        ),
    ],
)
async def test_put__refused_body(store: ObjectStore, body: bytes, headers: dict[str, str]) -> None:
    assert send("PUT", sign(store).url, headers, body) in {400, 403, 411}
    assert await untouched(store)


async def test_put__a_longer_body_under_the_signed_length_is_cut(store: ObjectStore) -> None:
    """HTTP ends the body where its length says: what is stored is what was announced."""
    signed = sign(store)
    assert send("PUT", signed.url, signed.headers, LONGER) == 200
    assert await store.get(KEY) == BODY


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
async def test_put__other_method(store: ObjectStore, method: str) -> None:
    await store.put(KEY, b"as it was")
    signed = sign(store)
    assert send(method, signed.url, signed.headers, BODY) == 403
    assert send(method, signed.url, {}, b"") in {400, 403, 411}
    assert await store.get(KEY) == b"as it was"


CHANGES: dict[str, Callable[[str], str]] = {
    "other key": lambda url: url.replace(KEY, OTHER),
    "parent": lambda url: url.replace(KEY, f"x/../{KEY}"),
    "double slash": lambda url: url.replace(KEY, KEY.replace("/", "//")),
    "fewer signed headers": lambda url: url.replace("content-length%3Bcontent-md5%3B", ""),
    "later expiry": lambda url: url.replace("Expires=60", "Expires=6000"),
    "part of an upload": lambda url: f"{url}&uploadId=1&partNumber=1",
    "access list": lambda url: f"{url}&acl",
    "unsigned": lambda url: url.partition("?")[0],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_put__changed_url(store: ObjectStore, change: Callable[[str], str]) -> None:
    signed = sign(store, expires=60)
    changed = change(signed.url)
    assert changed != signed.url
    assert send("PUT", changed, signed.headers, BODY) in {400, 403}
    assert await untouched(store)
    assert await untouched(store, OTHER)


@contextlib.contextmanager
def seconds_ago(seconds: int) -> Generator[None]:
    """Signs as of then."""
    now: Callable[[], datetime.datetime] = vars(botocore.auth)["get_current_datetime"]
    ago = datetime.timedelta(seconds=seconds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: now() - ago)
        yield


@pytest.mark.parametrize(("age", "lifetime"), [(62, 60), (902, 900), (86_400, 900)])
async def test_put__expired(store: ObjectStore, age: int, lifetime: int) -> None:
    with seconds_ago(age):
        signed = sign(store, expires=lifetime)
    assert send("PUT", signed.url, signed.headers, BODY) in {400, 403}
    assert await untouched(store)


async def test_put__not_yet_expired(store: ObjectStore) -> None:
    with seconds_ago(30):
        signed = sign(store, expires=60)
    assert send("PUT", signed.url, signed.headers, BODY) == 200


async def test_get__one_key_one_method_one_time(store: ObjectStore) -> None:
    await store.put(KEY, BODY)
    await store.put(OTHER, WRONG)
    url = store.presign_get(KEY).url
    with seconds_ago(62):
        expired = store.presign_get(KEY, expires=60).url
    assert send("GET", url, {}, b"") == 200
    assert send("GET", expired, {}, b"") in {400, 403}
    assert send("GET", url.replace(KEY, OTHER), {}, b"") == 403
    assert send("DELETE", url, {}, b"") == 403
    assert send("PUT", url, with_headers(WRONG), WRONG) == 403
    assert await store.get(KEY) == BODY
    await store.delete(OTHER)
