"""The relay client against a socket whose answers are written out: connections, caps, repeats."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from chassis.errors import CallFailed
from contracts.endpoint import Endpoint
from contracts.snapshots import Signed
from contracts.wire import Empty, Wire
from executor import http_calls
from executor.relay import ObjectFailed, Relay

DEADLINE = 30.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Text(Wire, frozen=True, kw_only=True):
    text: str = ""


ASK = Endpoint("/workers/{worker_id}/ask", Text, Empty, idempotent=True, deadline=DEADLINE)
ONCE = Endpoint("/workers/{worker_id}/once", Text, Empty, deadline=DEADLINE)
QUICK = Endpoint("/workers/{worker_id}/quick", Text, Empty, idempotent=True, deadline=0.3)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """Each connection does what is next in `talks`, then closes."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.talks: list[Talk] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.talks.pop(0)(reader, writer)
        finally:
            writer.close()

    async def heard(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
        self.bodies.append(await reader.readexactly(int(fields.get(b"content-length", b"0"))))

    def answers(self, *answers: bytes) -> Talk:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for answer in answers:
                await self.heard(reader)
                writer.write(answer)
                await writer.drain()

        return talk


@pytest.fixture
async def peer(place: Path) -> AsyncGenerator[Peer]:
    peer = Peer()
    server = await asyncio.start_unix_server(
        peer.connected, str(place / "control" / "relay.sock"), limit=1 << 20
    )
    yield peer
    server.close()


@pytest.fixture
async def relay(place: Path) -> AsyncGenerator[Relay]:
    relay = Relay(place / "control", "w 1")
    yield relay
    await relay.aclose()


async def test_call__fills_the_path_and_carries_its_trace(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(OK)]
    await relay.call(ASK, Text(text="x"))
    lines = peer.heads[0].split(b"\r\n")
    assert lines[0] == b"POST /workers/w%201/ask HTTP/1.1"
    assert any(line.startswith(b"traceparent: 00-") for line in lines)
    assert peer.bodies == [b'{"text":"x"}']


async def test_connection__is_used_again(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(OK, OK, OK)]
    for _ in range(3):
        await relay.call(ASK, Text())
    assert peer.connections == 1


async def test_connection__that_says_close_is_not(peer: Peer, relay: Relay) -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    peer.talks = [peer.answers(closing, OK), peer.answers(OK)]
    for _ in range(2):
        await relay.call(ASK, Text())
    assert peer.connections == 2


async def test_connection__closed_under_the_request_is_replaced(peer: Peer, relay: Relay) -> None:
    """The other side closes once it has the second request's head: nobody could have known."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.answers(OK)(reader, writer)
        await peer.heard(reader)

    peer.talks = [cut, peer.answers(OK)]
    for _ in range(2):
        await relay.call_once(ASK, Text())  # one attempt: none of its own repeats
    assert peer.connections == 2


async def test_connection__closed_under_what_may_not_be_repeated(peer: Peer, relay: Relay) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.answers(OK)(reader, writer)
        await peer.heard(reader)

    peer.talks = [cut]
    await relay.call(ASK, Text())
    with pytest.raises(CallFailed) as failure:
        await relay.call(ONCE, Text())
    assert (failure.value.kind, failure.value.attempts, peer.connections) == ("network", 1, 1)


async def test_answer__that_breaks_off_is_a_network_failure(peer: Peer, relay: Relay) -> None:
    peer.talks = [peer.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}")]
    with pytest.raises(CallFailed) as failure:
        await relay.call_once(ASK, Text())
    assert (failure.value.kind, failure.value.attempts) == ("network", 1)


async def test_silence__is_a_timeout(peer: Peer, relay: Relay) -> None:
    released = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await peer.heard(reader)
        await released.wait()

    peer.talks = [silent]
    with pytest.raises(CallFailed) as failure:
        await relay.call(QUICK, Text())
    assert failure.value.kind == "timeout"
    released.set()


async def test_nobody_there__is_a_network_failure(relay: Relay) -> None:
    with pytest.raises(CallFailed) as failure:
        await relay.call_once(ASK, Text())
    assert (failure.value.kind, failure.value.attempts) == ("network", 1)


@pytest.mark.parametrize("head", [b"content-length: 200000", b"transfer-encoding: chunked"])
async def test_object__is_cut_at_the_limit(peer: Peer, relay: Relay, head: bytes) -> None:
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    peer.talks = [peer.answers(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + piece * 3)]
    with pytest.raises(ObjectFailed, match="more than 100000 bytes") as failure:
        await relay.get(Signed(key="k", url="http://store/b/k?a=1"), limit=100_000)
    assert failure.value.status == 200


async def test_answer__is_cut_at_the_limit(
    peer: Peer, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_calls.UnixCalls.exchange, "__kwdefaults__", {"limit": 10})
    peer.talks = [peer.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n" + b" " * 11)]
    with pytest.raises(CallFailed, match="more than 10 bytes") as failure:
        await relay.call(ASK, Text())
    assert (failure.value.kind, failure.value.attempts) == ("http", 1)


async def test_put__sends_what_was_signed_byte_for_byte(peer: Peer, relay: Relay) -> None:
    content = bytes(range(256)) * 5000
    url = "http://store:9/bucket/a%2Fb%20c+~d?X-Sig=%2f%2B%3d&empty=&z"
    headers = {"Content-Length": str(len(content)), "Content-MD5": "abc=="}
    peer.talks = [peer.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]
    await relay.put(Signed(key="k", url=url, headers=headers), content)
    first, *lines = peer.heads[0].strip().split(b"\r\n")
    target = b"/objects/bucket/a%2Fb%20c+~d?X-Sig=%2f%2B%3d&empty=&z"
    assert first == b"PUT " + target + b" HTTP/1.1"
    sent = {name.lower(): value for name, value in (line.split(b": ") for line in lines)}
    length = str(len(content)).encode()
    assert sent == {b"host": b"relay", b"content-length": length, b"content-md5": b"abc=="}
    assert peer.bodies == [content]


async def test_put__hears_a_refusal_before_all_is_sent(peer: Peer, relay: Relay) -> None:
    released = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\nexpired")
        await released.wait()  # and takes nothing more

    peer.talks = [refuse]
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(ObjectFailed, match="expired") as failure:
            await relay.put(Signed(key="k", url="http://store/k"), b"x" * (32 << 20))
    assert failure.value.expired
    released.set()
