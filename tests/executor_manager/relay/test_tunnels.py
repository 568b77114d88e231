"""Tunnels that are allowed: what goes through, through what, and how it ends."""

import asyncio
import http.client
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from contracts.egress import EgressHost
from tests.executor_manager.relay.hellos import client_hello, in_records
from tests.executor_manager.relay.tunnelling import (
    HOST,
    OWN,
    Agent,
    InProcess,
    TlsServer,
    echoed,
    ended,
    loopback,
    relay_in_process,
)


@pytest.fixture
async def server(short_dir: Path) -> AsyncGenerator[TlsServer]:
    async with TlsServer(short_dir) as server:
        yield server


@pytest.fixture
async def relay(short_dir: Path) -> AsyncGenerator[InProcess]:
    async with relay_in_process(short_dir, OWN) as relay:
        relay.names.answers[HOST] = [["127.0.0.1"]]
        yield relay


@pytest.fixture
async def agent(relay: InProcess, server: TlsServer) -> Agent:
    return await relay.bind_tunnels(EgressHost(host=HOST, port=server.port))


async def test_tls__goes_through_end_to_end(agent: Agent, server: TlsServer) -> None:
    tunnel = await agent.tunnel(server)
    assert await echoed(tunnel, b"x" * 300_000) == b"x" * 300_000
    assert agent.relay.names.asked == [HOST]
    tunnel[1].close()


@pytest.mark.parametrize(
    "headers",
    [
        "",
        f"Host: {HOST}\r\n",
        f"Host: {HOST}:PORT\r\nProxy-Connection: Keep-Alive\r\nUser-Agent: some\r\n",
        "Proxy-Authorization: Basic eDp5\r\nContent-Length: 0\r\n",
    ],
)
async def test_heads_of_ordinary_clients__are_taken(
    agent: Agent, server: TlsServer, headers: str
) -> None:
    headers = headers.replace("PORT", str(server.port))
    head, (_, writer) = await agent.connect(f"{HOST}:{server.port}", headers)
    assert head == b"HTTP/1.1 200 Connection established\r\n\r\n"
    writer.close()


async def test_a_wildcard__is_for_names_below_it_alone(agent: Agent, server: TlsServer) -> None:
    await agent.change(
        tunnels=agent.policy.tunnels
        and type(agent.policy.tunnels)(
            hosts=[EgressHost(host="*.example.org", port=server.port)], mib_per_hour=64
        )
    )
    for host in ("a.example.org", "a.b.example.org"):
        agent.relay.names.answers[host] = [["127.0.0.1"]]
        assert (await agent.connect(f"{host}:{server.port}"))[0].startswith(b"HTTP/1.1 200")
    for host in ("example.org", "aexample.org", "example.org.evil.net"):
        answer = await agent.send(f"CONNECT {host}:{server.port} HTTP/1.1\r\n\r\n".encode())
        assert b'"rule":"host_not_allowed"' in answer


async def test_a_hello_in_pieces__goes_on_as_it_came(short_dir: Path, relay: InProcess) -> None:
    async with TlsServer(short_dir, raw=True) as server:
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port))
        _, (_, writer) = await agent.connect(f"{HOST}:{server.port}")
        sent = in_records(client_hello(HOST), 50)
        for at in range(0, len(sent), 7):
            writer.write(sent[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0)
        await server.until_received(len(sent))
        assert bytes(server.received) == sent
        writer.close()


async def test_the_end_of_one_direction__is_passed_on_and_the_other_goes_on(
    short_dir: Path, relay: InProcess
) -> None:
    ended = asyncio.Event()

    async def answer_after_the_end(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()
        ended.set()
        writer.write(b"after")
        writer.close()

    listener = await asyncio.start_server(answer_after_the_end, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    agent = await relay.bind_tunnels(EgressHost(host=HOST, port=port))
    _, (reader, writer) = await agent.connect(f"{HOST}:{port}")
    writer.write(client_hello(HOST))
    writer.write_eof()
    async with asyncio.timeout(30):
        await ended.wait()
        assert await reader.read() == b"after"
    writer.close()
    listener.close()


async def test_a_reader_that_does_not_read__holds_up_its_sender(
    agent: Agent, server: TlsServer
) -> None:
    """What is between them is bounded: buffers of sockets, and the relay's."""
    reader, writer = await agent.tunnel(server)
    reader._transport.pause_reading()  # type: ignore[attr-defined] # no public way
    sent, part = 0, b"x" * 65536
    try:
        async with asyncio.timeout(2):
            while sent < 64 * 1024 * 1024:
                writer.write(part)
                await writer.drain()
                sent += len(part)
    except TimeoutError:
        pass
    assert 0 < sent < 48 * 1024 * 1024
    writer.transport.abort()


async def test_a_narrower_policy__cuts_what_it_does_not_allow(
    agent: Agent, server: TlsServer
) -> None:
    reader, writer = await agent.tunnel(server)
    await agent.change(token="fresh")
    assert await echoed((reader, writer), b"still") == b"still"
    await agent.change(tunnels=None)
    assert await ended(reader)
    writer.close()


async def test_a_worker_that_is_gone__has_no_tunnel(agent: Agent, server: TlsServer) -> None:
    _, (reader, writer) = await agent.connect(f"{HOST}:{server.port}")
    await agent.relay.workers.delete(agent.policy.worker_id)
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    with pytest.raises(OSError):
        await agent.open()
    writer.close()


ECHO_HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole"


@pytest.fixture
async def https_port(short_dir: Path) -> AsyncGenerator[tuple[int, ssl.SSLContext]]:
    folder = short_dir / "https"
    folder.mkdir()
    keeps = TlsServer(folder)
    async with keeps:
        pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ECHO_HTTP)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield listener.sockets[0].getsockname()[1], keeps.client()
    listener.close()


async def test_ordinary_clients__take_the_loopback_pipe_for_their_proxy(
    relay: InProcess, https_port: tuple[int, ssl.SSLContext]
) -> None:
    port, trusting = https_port
    agent = await relay.bind_tunnels(EgressHost(host=HOST, port=port))
    async with loopback(agent.path) as proxy:
        async with httpx.AsyncClient(
            proxy=f"http://127.0.0.1:{proxy}", verify=trusting, trust_env=False
        ) as client:
            assert (await client.get(f"https://{HOST}:{port}/")).text == "whole"
            with pytest.raises(httpx.ProxyError, match="403"):
                await client.get("https://other.example.org/")
            denied = await client.get(f"http://{HOST}:{port}/")
            assert denied.status_code == 403
            assert denied.json()["details"] == {"rule": "absolute_uri"}

        def standard_library() -> bytes:
            client = http.client.HTTPSConnection("127.0.0.1", proxy, context=trusting, timeout=30)
            client.set_tunnel(HOST, port)
            client.request("GET", "/")
            return client.getresponse().read()

        assert await asyncio.to_thread(standard_library) == b"whole"


async def test_a_host_that_does_not_answer__is_told_and_is_no_denial(
    agent: Agent, server: TlsServer
) -> None:
    server.server.close()
    await server.server.wait_closed()
    answer = await agent.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"accepts no connection" in answer
    agent.relay.names.answers.clear()
    answer = await agent.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"has no address" in answer
