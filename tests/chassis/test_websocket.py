"""Both of our ends of a WebSocket, against each other and against what breaks the rules."""

import asyncio
import select
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping
from wsproto.frame_protocol import FrameProtocol

from chassis.dialling import Dialled, Refused
from chassis.duplex import Closed
from chassis.websocket import MESSAGE_BYTES, WebSocket
from tests.fixtures.processes import met
from tests.fixtures.serving import serving


class Room:
    """ASGI: accepts and does what it is told."""

    def __init__(self, talk: Callable[[Any, Any], Awaitable[None]]) -> None:
        self._talk = talk

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await receive()
        await self._talk(receive, send)


async def echo(receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kept = {name: message.get(name) for name in ("bytes", "text")}
        await send({"type": "websocket.send", **kept})


@asynccontextmanager
async def pair(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[WebSocket]:
    """Our client's end, on whatever the other does after its handshake."""
    done = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        await done.wait()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port, limit=65536)
    socket = WebSocket(reader, writer, Connection(ConnectionType.CLIENT))
    try:
        yield socket
    finally:
        done.set()
        socket.abort()
        server.close()


async def test_messages__go_both_ways_whole() -> None:
    async with serving(Room(echo)) as url:
        socket = await Dialled.dial(f"{url}/x?y=1", headers={"X-A": "b"}, within=30)
        for content in (b"", b"\x00\xff" * 30_000, "text ü", b"last"):
            await socket.send(content, within=30)
            assert await asyncio.wait_for(socket.receive(), 30) == content
        await socket.close(1000, "done")


async def test_close__tells_code_and_reason() -> None:
    async def closing(_receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4409, "reason": "gone"})

    async with serving(Room(closing)) as url:
        socket = await Dialled.dial(url, headers={}, within=30)
        with pytest.raises(Closed) as closed:
            await asyncio.wait_for(socket.receive(), 30)
    assert (closed.value.code, closed.value.reason) == (4409, "gone")


async def test_handshake__that_is_refused_tells_why() -> None:
    async def refusing(_receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 409, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"why", "more_body": False})

    async with serving(Room(refusing)) as url:
        with pytest.raises(Refused) as refused:
            await Dialled.dial(url, headers={}, within=30)
    assert (refused.value.status, refused.value.body) == (409, b"why")


async def test_handshake__that_nobody_answers_is_given_up() -> None:
    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with pytest.raises(TimeoutError):
        await Dialled.dial(f"http://{host}:{port}", headers={}, within=0.2)
    server.close()


async def test_server_that_serves_none__is_no_websocket() -> None:
    async with serving(Room(echo), websockets=False) as url:
        with pytest.raises((Refused, Closed)):
            await Dialled.dial(url, headers={}, within=30)


async def test_send__that_nobody_takes_ends_at_its_deadline() -> None:
    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    sent = 0
    async with pair(deaf) as socket:
        try:
            while sent < 200_000_000:
                await socket.send(b"x" * 65536, within=0.3)
                sent += 65536
        except TimeoutError:
            pass
    assert sent < 50_000_000


async def test_message__that_is_too_long_ends_it() -> None:
    async def long(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameProtocol(client=False, extensions=[])
        for _ in range(MESSAGE_BYTES // 1000 + 2):
            writer.write(frames.send_data(b"x" * 1000, fin=False))

    async with pair(long) as socket:
        with pytest.raises(Closed) as closed:
            await asyncio.wait_for(socket.receive(), 30)
    assert closed.value.code == 1009


async def test_rubbish__ends_it() -> None:
    async def rubbish(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff" * 100)

    async with pair(rubbish) as socket:
        with pytest.raises(Closed):
            await asyncio.wait_for(socket.receive(), 30)


async def test_half_open__is_found_out() -> None:
    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async with pair(deaf) as socket:
        reading = asyncio.create_task(socket.receive())
        await asyncio.wait_for(socket.keep(every=0.05, within=0.2), 30)
        with pytest.raises(Closed):
            await reading


async def test_one_that_is_not_listened_to__is_not_taken_for_dead() -> None:
    async with serving(Room(echo)) as url:
        socket = await Dialled.dial(url, headers={}, within=30)
        keeping = asyncio.create_task(socket.keep(every=0.02, within=1.0))
        done, _ = await asyncio.wait({keeping}, timeout=1.5)
        assert not done
        await socket.send(b"still", within=30)
        assert await asyncio.wait_for(socket.receive(), 30) == b"still"
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await socket.close(1000)


async def test_pings__of_the_other_side_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each but the first is sent for the answer to the one before."""
    monkeypatch.setattr("chassis.server.PING_SECONDS", 0.05)
    pings: list[WSProtocol] = []
    send = WSProtocol.send_keepalive_ping

    def counted(server: WSProtocol) -> None:
        pings.append(server)
        send(server)

    monkeypatch.setattr(WSProtocol, "send_keepalive_ping", counted)
    async with serving(Room(echo)) as url:
        socket = await Dialled.dial(url, headers={}, within=30)
        reading = asyncio.create_task(socket.receive())
        await met(lambda: len(pings) > 3, "pings are answered")
        assert not reading.done()
        await socket.send(b"here", within=30)
        assert await asyncio.wait_for(reading, 30) == b"here"
        await socket.close(1000)


async def test_client_that_takes_nothing__is_cut_when_its_app_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("chassis.server.LAST_SECONDS", 0.2)
    done = asyncio.Event()

    async def flood(_receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            while True:
                async with asyncio.timeout(0.5):
                    await send({"type": "websocket.send", "bytes": b"y" * 100_000})
        except TimeoutError:
            done.set()

    uds = str(tmp_path / "s")  # its end is seen without reading what came before
    async with serving(Room(flood), uds=uds) as url:
        socket = await Dialled.dial(url, headers={}, within=30, uds=uds)
        await asyncio.wait_for(done.wait(), 20)
        await met(lambda: is_cut(socket), "it is cut")
        socket.abort()


def is_cut(socket: Dialled) -> bool:
    known = select.poll()
    known.register(socket._writer.get_extra_info("socket").fileno(), 0)
    return any(seen & (select.POLLERR | select.POLLHUP) for _, seen in known.poll(0))


async def test_pings__of_a_client_that_takes_nothing_cost_no_memory(tmp_path: Path) -> None:
    async def last_word(receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": "heard all"})

    uds = str(tmp_path / "s")  # its buffers are small
    async with serving(Room(last_word), uds=uds) as url:
        socket = await Dialled.dial(url, headers={}, within=30, uds=uds)
        asked = 0
        async with asyncio.timeout(30):
            for _ in range(20_000):
                ping = socket._protocol.send(Ping(payload=b"p" * 125))
                socket._writer.write(ping)
                await socket._writer.drain()
                asked += len(ping)
            await socket.send("all", within=30)
            answered = b""
            while b"heard all" not in answered:
                answered += await socket._reader.read(65536)
        assert len(answered) < asked / 2
        socket.abort()


async def test_head_deadline__does_not_end_a_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.server.HEAD_SECONDS", 1.0)  # enough for a busy machine
    async with serving(Room(echo)) as url:
        socket = await Dialled.dial(url, headers={}, within=30)
        reading = asyncio.create_task(socket.receive())
        done, _ = await asyncio.wait({reading}, timeout=1.5)
        assert not done
        await socket.send(b"here", within=30)
        assert await asyncio.wait_for(reading, 30) == b"here"
        await socket.close(1000)
