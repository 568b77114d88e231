import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis import listening, server
from chassis.server import PortTaken, bind
from tests.fixtures.processes import met
from tests.fixtures.serving import serving


class Slow:
    """Answers when told to, and says what it went through."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.release = asyncio.Event()
        self.history: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.history.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.asked.set()
        await self.release.wait()
        self.history.append("answered")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_port__answers_without_nagles_delay() -> None:
    with bind() as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        assert accepted.proto == socket.IPPROTO_TCP  # what asyncio looks at
        accepted.close()


def test_port__taken_says_which_and_what_to_do() -> None:
    with bind() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} .* is taken .* BERTH_PORT"):
            bind(port=port)


async def test_stop__waits_for_what_is_under_way() -> None:
    app, stop = Slow(), asyncio.Event()

    def on_stop() -> None:
        app.history.append("stopping")
        app.release.set()

    async with (
        serving(app, stop=stop, on_stop=on_stop, graceful_seconds=30) as url,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        call = asyncio.create_task(http.get(url))
        await asyncio.wait_for(app.asked.wait(), 30)
        stop.set()
        assert (await asyncio.wait_for(call, 30)).status_code == 204
    assert app.history == ["stopping", "answered", "shutdown"]


async def test_stop__does_not_wait_for_ever() -> None:
    app = Slow()
    async with serving(app, graceful_seconds=0) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(app.asked.wait(), 30)
    writer.close()
    assert app.history == ["shutdown"]
    assert b"204" not in await reader.read()


async def test_head__that_does_not_arrive_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    async with serving(Slow()) as url:
        port = int(url.rpartition(":")[2])
        silent, first = await asyncio.open_connection("127.0.0.1", port)
        slow, second = await asyncio.open_connection("127.0.0.1", port)
        second.write(b"GET / HTTP/1.1\r\nHost:")
        for reader, writer in ((silent, first), (slow, second)):
            assert await asyncio.wait_for(reader.read(), 30) == b""
            writer.close()


async def test_head__in_time_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 1.0)  # enough for a busy machine
    app = Slow()
    async with serving(app) as url, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        call = asyncio.create_task(http.get(url))
        await asyncio.wait_for(app.asked.wait(), 30)
        asyncio.get_running_loop().call_later(1.5, app.release.set)  # well beyond the head's time
        assert (await asyncio.wait_for(call, 30)).status_code == 204


CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answered_early(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose request is answered, and whose body goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(POST + CHUNK)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert b" 204 " in head
    return reader, writer


async def sent_until_cut(writer: asyncio.StreamWriter, most: int) -> int:
    for sent in range(0, most, len(CHUNK)):
        try:
            writer.write(CHUNK)
            await asyncio.wait_for(writer.drain(), 30)
        except ConnectionError:
            return sent
    return most


async def test_body__that_goes_on_after_its_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 60.0)  # what it sends decides, no time
    app = Slow()
    app.release.set()
    most = 256 * server.UNREAD_BYTES
    async with serving(app) as url:
        _, writer = await answered_early(url)
        sent = await sent_until_cut(writer, most)
        assert server.UNREAD_BYTES - len(CHUNK) <= sent < most


async def test_body__that_falls_silent_after_its_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.2)
    app = Slow()
    app.release.set()
    async with serving(app) as url:
        reader, writer = await answered_early(url)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_body__that_ends_after_its_answer_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 1.0)
    app = Slow()
    app.release.set()
    async with serving(app) as url:
        reader, writer = await answered_early(url)
        writer.write(b"0\r\n\r\n")
        app.release.clear()
        app.asked.clear()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(app.asked.wait(), 30)
        asyncio.get_running_loop().call_later(1.5, app.release.set)  # well beyond the body's time
        assert b" 204 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        writer.close()


async def test_answer__that_is_not_taken_holds_no_connection_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "UNTAKEN_MILLISECONDS", 500)
    given_up = asyncio.Event()

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    body = {"body": b"y" * 1_000_000, "more_body": True}
                    await send({"type": "http.response.body", **body})
        given_up.set()  # the server closes it then, with much to be taken yet

    async with serving(flood, graceful_seconds=0) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(given_up.wait(), 30)
            ends = port, client.getsockname()[1]
            await met(lambda: not is_held(*ends), "the client's alone is left")


def is_held(port: int, client: int) -> bool:
    """Whether a process has the server's end of that connection."""
    pair = f":{port:04X}", f":{client:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any((row[1][8:], row[2][8:]) == pair and row[9] != "0" for row in rows)


async def test_socket__left_by_a_killed_server_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "left.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with bind(uds=path) as listener:
        assert listener.getsockname() == path
