"""Bytes pass between loopback and the relay's socket as they come, in both directions."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from executor.agents import loopback
from executor.agents.listener import Loopback
from tests.executor.confined import free_port

DEADLINE = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def listener(place: Path, port: int) -> AsyncGenerator[Loopback]:
    directory = place / "agent"
    directory.mkdir(exist_ok=True)
    listener = Loopback(directory, port, None)
    listener.start()
    assert await listener.listening(within=DEADLINE)
    yield listener
    await listener.close()


@asynccontextmanager
async def relay(place: Path) -> AsyncGenerator[Callable[[], "asyncio.Future[Streams]"]]:
    """Gives the next connection that arrives."""
    arrived: asyncio.Queue[Streams] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await arrived.put((reader, writer))

    server = await asyncio.start_unix_server(take, place / "agent" / "agent.sock")
    async with server:
        yield lambda: asyncio.ensure_future(asyncio.wait_for(arrived.get(), DEADLINE))


async def test_pipe__both_ways_and_half_closed(place: Path, port: int, listener: Loopback) -> None:
    async with relay(place) as arriving, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        inner_reader, inner_writer = await arriving()
        writer.write(b"question")
        writer.write_eof()
        assert await inner_reader.read() == b"question"
        inner_writer.write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        inner_writer.close()
        assert await reader.read() == b""
        writer.close()


async def test_pipe__is_read_no_faster_than_it_is_written_on(
    place: Path, port: int, listener: Loopback
) -> None:
    loop = asyncio.get_running_loop()
    async with relay(place) as arriving, asyncio.timeout(DEADLINE):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            inner_reader, inner_writer = await arriving()
            inside = cast("asyncio.Transport", inner_writer.transport)
            inside.pause_reading()
            taken = 0
            try:
                while taken < 256 * 1024 * 1024:
                    taken += await asyncio.wait_for(send_some(loop, client), 1)
            except TimeoutError:
                # nobody takes any more: what was taken lies in buffers of sockets
                assert taken < 64 * 1024 * 1024
            else:
                pytest.fail("everything was taken, though nobody reads")
            inside.resume_reading()
            client.shutdown(socket.SHUT_WR)
            left = taken
            while chunk := await inner_reader.read(1 << 20):
                left -= len(chunk)
            assert left == 0
            inner_writer.close()


async def send_some(loop: asyncio.AbstractEventLoop, client: socket.socket) -> int:
    chunk = b"x" * 65536
    while True:
        try:
            return client.send(chunk)
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(client, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(client)


async def test_pipe__a_broken_answer_looks_broken(
    place: Path, port: int, listener: Loopback
) -> None:
    async with relay(place) as arriving, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        _, inner_writer = await arriving()
        inner_writer.write(b"half of ")
        assert await reader.readexactly(8) == b"half of "
        # closed with something unread: the other side sees a reset
        cast("asyncio.Transport", inner_writer.transport).pause_reading()
        writer.write(b"unread")
        inner = inner_writer.get_extra_info("socket").fileno()
        assert (await asyncio.to_thread(select.select, [inner], [], [], DEADLINE))[0]
        inner_writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_pipe__waits_for_a_relay_that_is_away(
    place: Path, port: int, listener: Loopback
) -> None:
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"early")
        async with relay(place) as arriving:
            inner_reader, inner_writer = await arriving()
            assert await inner_reader.readexactly(5) == b"early"
            inner_writer.close()
            assert await reader.read() == b""
        writer.close()


async def test_pipe__more_than_its_connections_wait(
    place: Path, port: int, listener: Loopback
) -> None:
    async with relay(place) as arriving, asyncio.timeout(DEADLINE):
        open_ones = [
            await asyncio.open_connection("127.0.0.1", port)
            for _ in range(loopback.CONNECTIONS + 1)
        ]
        inside = [await arriving() for _ in range(loopback.CONNECTIONS)]
        waiting = arriving()
        open_ones[0][1].close()
        inside[0][1].close()
        inside.append(await waiting)
        for _, writer in (*open_ones, *inside):
            writer.close()


async def test_listener__of_any_port_says_which_and_keeps_it(place: Path) -> None:
    (place / "agent").mkdir()
    listener = Loopback(place / "agent", 0, None)
    assert listener.url("/models") is None
    listener.start()
    try:
        assert await listener.listening(within=DEADLINE)
        port = listener.port
        assert listener.url("/models") == f"http://127.0.0.1:{port}/models"
        os.kill(running_at(0), signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            while running_at(port) == 0 or not await listener.listening(within=DEADLINE):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)
        assert listener.port == port
    finally:
        await listener.close()


async def test_listener__of_any_port_takes_another_if_its_own_is_taken(place: Path) -> None:
    (place / "agent").mkdir()
    listener = Loopback(place / "agent", 0, None)
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        listener.port = taken
        listener.start()
        try:
            assert await listener.listening(within=DEADLINE)
            assert listener.port not in {0, taken}
        finally:
            await listener.close()


async def test_listener__counts_what_it_takes_and_its_ends(
    place: Path, port: int, listener: Loopback
) -> None:
    async with relay(place) as arriving, asyncio.timeout(DEADLINE):
        for count in (1, 2):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            _, inner_writer = await arriving()
            while listener.taken < count:  # noqa: ASYNC110  # another process says so
                await asyncio.sleep(0.01)
            writer.close()
            inner_writer.close()
    assert (listener.taken, listener.ends) == (2, 0)
    os.kill(running_at(port), signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        while listener.ends == 0:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    await listener.close()
    assert (listener.taken, listener.ends) == (2, 1)


async def test_listener__starts_again_and_ends_with_its_owner(
    place: Path, port: int, listener: Loopback
) -> None:
    first = running_at(port)
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        while True:
            await asyncio.sleep(0.01)
            if await listener.listening(within=DEADLINE) and running_at(port) not in {0, first}:
                break
    await listener.close()
    assert running_at(port) == 0


def running_at(port: int) -> int:
    """The pid of our own pipe for that port, or 0: other executors have theirs for any port."""
    wanted = f"{loopback.__file__}\0{port}\0".encode()
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or wanted not in (entry / "cmdline").read_bytes():
                continue
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                return int(entry.name)
        except OSError:
            continue
    return 0
