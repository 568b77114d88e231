"""Against a real S3-compatible server."""

import base64
import hashlib
from collections.abc import Generator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from chassis.errors import DependencyUnavailable, NotFound
from chassis.objects import ObjectStore
from tests.fixtures.object_store import StoreServer

BODY = b"a body of some length"


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


@pytest.fixture
def stranger(object_store_server: StoreServer) -> Generator[ObjectStore]:
    store = ObjectStore(
        object_store_server.endpoint, object_store_server.bucket, "stranger", "wrong-secret"
    )
    yield store
    store.close()


async def test_object__is_put_found_listed_and_deleted(object_store: ObjectStore) -> None:
    await object_store.put("kept/a b", BODY)
    await object_store.put("kept/b", b"")
    assert await object_store.get("kept/a b") == BODY
    assert (await object_store.head("kept/a b")).size == len(BODY)
    assert [one.key for one in await object_store.list("kept/")] == ["kept/a b", "kept/b"]
    assert [one.key for one in await object_store.list("kept/", after="kept/a b")] == ["kept/b"]
    await object_store.delete("kept/a b")
    await object_store.delete("kept/a b")
    for call in (object_store.get, object_store.head):
        with pytest.raises(NotFound):
            await call("kept/a b")


async def test_objects__are_deleted_many_at_once(object_store: ObjectStore) -> None:
    keys = [f"many/{number} & <{number}>" for number in range(30)]
    for key in keys:
        await object_store.put(key, BODY)
    assert await object_store.delete_many([*keys[:29], "many/absent"]) == []
    assert [one.key for one in await object_store.list("many/")] == keys[29:]
    assert len(await object_store.get_at_most(keys[29], len(BODY) - 2)) == len(BODY) - 1
    assert await object_store.get_at_most(keys[29], len(BODY)) == BODY
    assert await object_store.delete_many(keys[29:]) == []


async def test_presigned_put__binds_length_and_md5(object_store: ObjectStore) -> None:
    signed = object_store.presign_put("sent/x", length=len(BODY), md5_base64=md5(BODY))
    names = parse_qs(urlsplit(signed.url).query)["X-Amz-SignedHeaders"][0].split(";")
    assert {"content-length", "content-md5"} <= set(names)
    assert signed.headers == {"Content-Length": str(len(BODY)), "Content-MD5": md5(BODY)}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        wrong = await http.put(signed.url, content=BODY[::-1], headers=signed.headers)
        longer = await http.put(
            signed.url,
            content=BODY + b"!",
            headers=signed.headers | {"Content-Length": str(len(BODY) + 1)},
        )
        assert (wrong.status_code, longer.status_code) == (400, 403)
        right = await http.put(signed.url, content=BODY, headers=signed.headers)
        assert right.status_code == 200
    assert await object_store.get("sent/x") == BODY


async def test_presigned_get__gives_the_object_for_a_while(object_store: ObjectStore) -> None:
    await object_store.put("read/x", BODY)
    signed = object_store.presign_get("read/x", expires=86_400)
    assert parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"] == ["900"]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        assert (await http.get(signed.url)).content == BODY


async def test_store__that_refuses_us_is_unavailable(stranger: ObjectStore) -> None:
    with pytest.raises(DependencyUnavailable, match="object_store") as caught:
        await stranger.get("x")
    assert "keys" in caught.value.details["missing"][0]["how"]


async def test_store__that_is_away_is_unavailable() -> None:
    store = ObjectStore("http://127.0.0.1:1", "b", "access", "secret-key", deadline=5)
    with pytest.raises(DependencyUnavailable, match="object_store"):
        await store.check()
    store.close()
