"""Objects against a socket whose answers are written out: ranges, repeats, what breaks off."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from contracts.snapshots import Signed
from executor.relay import ObjectFailed, Relay
from tests.executor.test_http_calls import DEADLINE, Peer

SIGNED = Signed(key="k", url="http://store/b/k?a=1")
CONTENT = bytes(range(256)) * 8192


@pytest.fixture
async def peer(place: Path) -> AsyncGenerator[Peer]:
    peer = Peer()
    path = str(place / "control" / "relay.sock")
    server = await asyncio.start_unix_server(peer.connected, path, limit=1 << 20)
    yield peer
    server.close()


@pytest.fixture
async def relay(place: Path) -> AsyncGenerator[Relay]:
    relay = Relay(place / "control", "w")
    yield relay
    await relay.aclose()


def answer(content: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


async def test_get__is_the_body_whole_and_connections_are_used_again(
    peer: Peer, relay: Relay
) -> None:
    peer.talks = [peer.answers(answer(CONTENT), answer(b""), answer(b"x"))]
    for expected in (CONTENT, b"", b"x"):
        assert await relay.get(SIGNED, limit=1 << 22) == expected
    assert peer.connections == 1
    assert peer.heads[0].startswith(b"GET /objects/b/k?a=1 HTTP/1.1\r\n")


async def test_put__then_get_on_one_connection(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(answer(b""), answer(CONTENT))]
    await relay.put(SIGNED, memoryview(CONTENT))
    assert await relay.get(SIGNED, limit=1 << 22) == CONTENT
    assert peer.bodies == [CONTENT, b""]


async def test_get__a_stretch(peer: Peer, relay: Relay) -> None:
    partial = answer(CONTENT[100:150], "206 Partial Content", "content-range: bytes 100-149/9")
    peer.talks = [peer.answers(partial)]
    assert await relay.get(SIGNED, limit=50, stretch=(100, 50)) == CONTENT[100:150]
    assert b"\r\nrange: bytes=100-149\r\n" in peer.heads[0]


async def test_get__a_stretch_of_a_store_that_gives_all(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(answer(CONTENT[:1000]))]
    assert await relay.get(SIGNED, limit=50, stretch=(100, 50)) == CONTENT[100:150]


async def test_get__in_chunks(peer: Peer, relay: Relay) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    peer.talks = [peer.answers(chunked)]
    assert await relay.get(SIGNED, limit=100) == b"abcde"


async def test_get__that_breaks_off_is_a_failure(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(answer(CONTENT)[:-1])]
    with pytest.raises(ObjectFailed, match="middle"):
        await relay.get(SIGNED, limit=1 << 22)


async def test_get__more_than_was_said_is_a_failure(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(answer(b"abc") + b"HTTP/1.1 200 OK\r\n\r\n")]
    with pytest.raises(ObjectFailed, match="more came"):
        await relay.get(SIGNED, limit=100)


async def test_connection__closed_under_the_request_is_replaced(peer: Peer, relay: Relay) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.answers(answer(b"one"))(reader, writer)
        await peer.heard(reader)

    peer.talks = [cut, peer.answers(answer(b"two"))]
    assert await relay.get(SIGNED, limit=10) == b"one"
    assert await relay.get(SIGNED, limit=10) == b"two"
    assert peer.connections == 2


async def test_connection__on_which_a_body_was_not_taken_is_not_used_again(
    peer: Peer, relay: Relay
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"expired", "403 Forbidden"))
        await writer.drain()
        await reader.read()

    peer.talks = [refuse, peer.answers(answer(b"two"))]
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(ObjectFailed, match="expired"):
            await relay.put(SIGNED, bytes(32 << 20))
        assert await relay.get(SIGNED, limit=10) == b"two"


async def test_canceled__leaves_no_half_used_connection(peer: Peer, relay: Relay) -> None:
    begun = asyncio.Event()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.heard(reader)
        writer.write(answer(CONTENT)[:1000])
        await writer.drain()
        begun.set()
        await reader.read()

    peer.talks = [half, peer.answers(answer(b"two"))]
    async with asyncio.timeout(DEADLINE):
        getting = asyncio.create_task(relay.get(SIGNED, limit=1 << 22))
        await begun.wait()
        getting.cancel()
        await asyncio.gather(getting, return_exceptions=True)
        assert await relay.get(SIGNED, limit=10) == b"two"
