"""What one worker's tunnels may take: connections, bytes of an hour, time, and threads."""

import asyncio
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest

from contracts.egress import EgressHost
from executor_manager.relay.tunnel.addresses import Address
from executor_manager.relay.tunnel.allowance import MIB, Allowance
from executor_manager.relay.tunnel.dialling import close_within
from executor_manager.relay.tunnel.resolving import AT_ONCE, Names, Resolver, system_lookup
from tests.executor_manager.relay.conftest import Passing
from tests.executor_manager.relay.hellos import client_hello
from tests.executor_manager.relay.tunnelling import (
    HOST,
    OWN,
    TlsServer,
    echoed,
    ended,
    relay_in_process,
)


async def test_connections__have_a_cap_and_come_free_again(short_dir: Path) -> None:
    async with TlsServer(short_dir) as server, relay_in_process(short_dir, OWN) as relay:
        relay.names.answers[HOST] = [["127.0.0.1"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port), connections=2)
        target = f"{HOST}:{server.port}"
        kept = [await agent.tunnel(server) for _ in range(2)]
        head, (reader, _) = await agent.connect(target)
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After" in head
        assert b'"rule":"connections"' in await reader.read()
        assert await echoed(kept[0], b"still") == b"still"
        kept[1][1].transport.abort()
        async with asyncio.timeout(30):
            while head.startswith(b"HTTP/1.1 429 "):
                head, _ = await agent.connect(target)


async def test_one_workers_cap__is_not_anothers(short_dir: Path) -> None:
    async with TlsServer(short_dir) as server, relay_in_process(short_dir, OWN) as relay:
        relay.names.answers[HOST] = [["127.0.0.1"]]
        hosts = EgressHost(host=HOST, port=server.port)
        one, other = [await relay.bind_tunnels(hosts, connections=1) for _ in range(2)]
        kept = await one.tunnel(server)
        assert await echoed(await other.tunnel(server), b"mine") == b"mine"
        kept[1].close()


async def test_bytes__of_an_hour_end_all_tunnels_of_the_worker(short_dir: Path) -> None:
    async with TlsServer(short_dir) as server, relay_in_process(short_dir, OWN) as relay:
        relay.names.answers[HOST] = [["127.0.0.1"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port), mib_per_hour=1)
        first, second = [await agent.tunnel(server) for _ in range(2)]
        assert await echoed(first, b"x" * 100_000) == b"x" * 100_000
        first[1].write(b"x" * 2 * MIB)
        assert await _until_ended(first[0]) < MIB
        assert len(server.received) <= MIB
        second[1].write(b"y" * MIB)
        assert await _until_ended(second[0]) < MIB
        head, _ = await agent.connect(f"{HOST}:{server.port}")
        assert head.startswith(b"HTTP/1.1 429 ")
        assert server.connections == 2


async def _until_ended(reader: asyncio.StreamReader) -> int:
    size = 0
    async with asyncio.timeout(30):
        try:
            while part := await reader.read(65536):
                size += len(part)
        except OSError:
            pass
    return size


def test_allowance__is_of_the_last_hour() -> None:
    now = 0.0
    allowance = Allowance(lambda: now)
    assert allowance.take(MIB, mib_per_hour=2)
    now = 1800.0
    assert allowance.take(MIB, mib_per_hour=2)
    assert not allowance.take(1, mib_per_hour=2)
    assert allowance.left(mib_per_hour=3) == MIB
    now = 3599.0
    assert not allowance.take(1, mib_per_hour=2)
    now = 3661.0
    assert allowance.take(MIB - 1, mib_per_hour=2)
    assert not allowance.take(2, mib_per_hour=2)
    # a part that was not there used up the rest
    assert not allowance.take(1, mib_per_hour=2)
    now = 3661.0 + 3660.0
    assert allowance.take(2 * MIB, mib_per_hour=2)


async def test_a_tunnel_that_is_idle__is_cut_and_one_that_moves_is_not(
    passing: Passing, short_dir: Path
) -> None:
    idle = 600.0
    async with (
        TlsServer(short_dir) as server,
        relay_in_process(short_dir, OWN, relay_tunnel_idle_seconds=idle) as relay,
    ):
        relay.names.answers[HOST] = [["127.0.0.1"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port))
        tunnel = await agent.tunnel(server)
        for _ in range(4):
            assert await echoed(tunnel, b"x") == b"x"
            passing(idle * 0.7)
        assert await echoed(tunnel, b"x") == b"x"
        passing(idle * 1.1)
        assert await ended(tunnel[0])


async def test_a_tunnel_through_which_nothing_ever_passes__is_cut(short_dir: Path) -> None:
    async with (
        TlsServer(short_dir, raw=True) as server,
        relay_in_process(short_dir, OWN, relay_tunnel_idle_seconds=0.3) as relay,
    ):
        relay.names.answers[HOST] = [["127.0.0.1"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port))
        assert await agent.say(f"{HOST}:{server.port}", client_hello(HOST)) == b""


async def test_what_nobody_takes__does_not_keep_a_connection() -> None:
    """Closed alone, it would be kept until all was read, which may be never."""
    accepted: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()

    async def never_read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined] # no public way
        await accepted.put(reader)

    listener = await asyncio.start_server(never_read, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await accepted.get()
    writer.write(b"x" * 64 * MIB)
    assert writer.transport.get_write_buffer_size() > 0
    async with asyncio.timeout(30):
        await close_within(writer, 0.2)
        await asyncio.sleep(0)
    assert writer.get_extra_info("socket").fileno() == -1
    listener.close()


@pytest.mark.parametrize("sent", [b"", client_hello(HOST)[:100]], ids=["nothing", "a part"])
async def test_a_hello_that_is_slow__is_not_waited_for(short_dir: Path, sent: bytes) -> None:
    async with (
        TlsServer(short_dir, raw=True) as server,
        relay_in_process(short_dir, OWN, relay_hello_seconds=0.4) as relay,
    ):
        relay.names.answers[HOST] = [["127.0.0.1"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port))
        _, (reader, writer) = await agent.connect(f"{HOST}:{server.port}")
        writer.write(sent)

        async def drip() -> None:
            for byte in client_hello(HOST)[len(sent) :]:
                await asyncio.sleep(0.05)
                writer.write(bytes([byte]))

        dripping = asyncio.create_task(drip())
        assert await ended(reader)
        dripping.cancel()
        writer.close()
    assert bytes(server.received) == b""


@pytest.mark.parametrize("sent", [b"", b"CONN", b"CONNECT files.example.org:443 HTTP/1.1\r\n"])
async def test_a_head_that_does_not_end__is_not_waited_for(short_dir: Path, sent: bytes) -> None:
    async with relay_in_process(short_dir, relay_head_seconds=0.3) as relay:
        agent = await relay.bind_tunnels(EgressHost(host=HOST))
        reader, writer = await agent.open()
        writer.write(sent)
        assert await ended(reader)
        writer.close()


def test_the_systems_names__are_asked_with_all_their_addresses() -> None:
    found = system_lookup("localhost")
    assert ip_address("127.0.0.1") in found
    assert len(found) == len(set(found))


async def test_a_name_that_is_slow__is_not_waited_for_and_holds_up_no_other_worker(
    short_dir: Path,
) -> None:
    gate = threading.Event()
    asked: list[str] = []

    def lookup(host: str) -> list[Address]:
        asked.append(host)
        if host.startswith("slow"):
            gate.wait(30)
        return [ip_address("1.1.1.1")]

    resolver = Resolver(lookup)
    # time enough for a thread to begin, and for what nobody holds up to end
    bad, good = Names(resolver, seconds=1), Names(resolver, seconds=30)
    try:
        slow = [bad.addresses(f"slow{n}.example.org") for n in range(50)]
        results = await asyncio.gather(*slow, return_exceptions=True)
        assert {type(result) for result in results} == {TimeoutError}
        # threads that still run count: there is no room for a fifth
        assert len(asked) == AT_ONCE
        with pytest.raises(TimeoutError):
            await bad.addresses("quick.example.org")
        assert await good.addresses("quick.example.org") == [ip_address("1.1.1.1")]
        gate.set()
        async with asyncio.timeout(30):
            while True:
                try:
                    await bad.addresses("quick.example.org")
                    break
                except TimeoutError:
                    continue
    finally:
        gate.set()
        resolver.close()
