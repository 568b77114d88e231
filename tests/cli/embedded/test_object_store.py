import asyncio
import base64
import contextlib
import hashlib
import http.client
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chassis.errors import DependencyUnavailable
from chassis.objects import ObjectStore, PresignedUrl
from cli.embedded.errors import PortTaken
from cli.embedded.object_store import BUCKET, EmbeddedObjectStore
from cli.embedded.secret_files import read_secret
from tests.fixtures.object_store import embedded_object_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[EmbeddedObjectStore]:
    server = embedded_object_store(tmp_path)
    yield server
    await server.stop()


def client(server: EmbeddedObjectStore, folder: Path, *, secret: str = "") -> ObjectStore:
    secrets = folder / "secrets"
    key, own = read_secret(secrets / "access"), read_secret(secrets / "secret")
    return ObjectStore(server.endpoint, BUCKET, key, secret or own, deadline=30)


def command_line(server: EmbeddedObjectStore) -> str:
    identity = server.process.identity
    assert identity is not None
    return Path(f"/proc/{identity.pid}/cmdline").read_text()


async def test_start__has_its_bucket_and_shows_no_secret(
    store: EmbeddedObjectStore, tmp_path: Path
) -> None:
    await store.start()
    objects = client(store, tmp_path)
    await objects.check()
    await objects.put("a/b", b"content")
    assert await objects.get("a/b") == b"content"
    assert read_secret(tmp_path / "secrets/secret") not in command_line(store)
    assert "127.0.0.1:" in command_line(store)
    with pytest.raises(DependencyUnavailable):
        await client(store, tmp_path, secret="wrong").check()


async def test_start__again_after_kill_9_keeps_objects_and_port(
    store: EmbeddedObjectStore, tmp_path: Path
) -> None:
    await store.start()
    endpoint = store.endpoint
    await client(store, tmp_path).put("kept", b"1")
    identity = store.process.identity
    assert identity is not None
    identity.send(signal.SIGKILL)
    assert await store.process.wait() == -signal.SIGKILL

    await store.start()

    assert store.endpoint == endpoint
    assert await client(store, tmp_path).get("kept") == b"1"


async def test_start__sweeps_what_a_kill_in_the_middle_of_an_upload_left(
    store: EmbeddedObjectStore, tmp_path: Path
) -> None:
    await store.start()
    bucket = tmp_path / "objects" / BUCKET
    body = b"a" * 4_000_000
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    signed = client(store, tmp_path).presign_put("half", length=len(body), md5_base64=md5)
    with half_sent(signed, body):
        async with asyncio.timeout(30):
            while not list(bucket.iterdir()):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        identity = store.process.identity
        assert identity is not None
        identity.send(signal.SIGKILL)
        await store.process.wait()
    assert [path.name[:17] for path in bucket.iterdir()] == [".rclone_temp_put_"]

    await store.start()

    assert list(bucket.iterdir()) == []


@contextlib.contextmanager
def half_sent(signed: PresignedUrl, body: bytes) -> Generator[None]:
    url = urlsplit(signed.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    for name, value in signed.headers.items():
        connection.putheader(name, value)
    connection.endheaders(body[: len(body) // 2])
    yield
    connection.close()


async def test_start__port_taken(store: EmbeddedObjectStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        pinned = EmbeddedObjectStore(replace(store._config, port=port))
        with pytest.raises(PortTaken, match=f"Port {port} .*choose another"):
            await pinned.start()


async def test_start__port_taken_between_choice_and_bind(
    store: EmbeddedObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = store._config.ports
        monkeypatch.setattr(ports, "pick", lambda *_, **__: port)
        monkeypatch.setattr(ports, "pick_again", lambda _: ports._fresh())
        await store.start()
    assert not store.endpoint.endswith(f":{port}")
