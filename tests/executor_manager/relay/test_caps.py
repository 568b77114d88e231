"""What one session may take of the relay at most, and that another does not notice."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from tests.executor_manager.relay.certificates import authority_and_server
from tests.executor_manager.relay.test_streams import silence
from tests.executor_manager.relay.witness import (
    SECRET,
    Request,
    Session,
    Witness,
    bind_agent,
    hasty,
    post,
    whole,
)
from tests.executor_manager.relays import Bound, Relay

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

MANY_BEFORE = 1500
"""Connections of a flood while one request is answered: about 500 where they take turns, and 2500
where the flood has its turn until nothing of it is left.
"""


async def open_many(socket: Bound, count: int) -> list[Connection]:
    return [await asyncio.open_unix_connection(str(socket.path)) for _ in range(count)]


@pytest.mark.parametrize(("which", "cap"), [("control", 8), ("agent", 16)])
async def test_connections__have_a_cap_and_the_next_is_told(
    agents_relay: Relay, witness: Witness, which: str, cap: int
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    socket: Bound = getattr(session, which)
    kept = await open_many(socket, cap)
    besides = await open_many(socket, 3)
    async with asyncio.timeout(30):
        refused = [await reader.read(100) for reader, _ in besides]
    assert [answer[:12] for answer in refused] == [b"HTTP/1.1 429"] * 3
    for _, writer in kept + besides:
        writer.transport.abort()
    answer = b""
    async with asyncio.timeout(30):
        while answer[:12] in {b"", b"HTTP/1.1 429"}:
            with contextlib.suppress(ConnectionError):  # it was told before it wrote
                answer = await socket.ask("/models/v1/messages", body=b"{}")
    assert answer[:12] == (b"HTTP/1.1 200" if which == "agent" else b"HTTP/1.1 403")


async def test_open_files__are_as_many_as_the_host_allows(short_dir: Path) -> None:
    async with Relay(short_dir / "relay", "prlimit", "--nofile=1024:8192") as relay:
        assert relay.process is not None
        limits = await asyncio.to_thread(Path(f"/proc/{relay.process.pid}/limits").read_text)
    assert limits.partition("Max open files")[2].split()[:2] == ["8192", "8192"]


async def test_requests_under_way__have_a_cap(agents_relay: Relay, witness: Witness) -> None:
    session = await bind_agent(agents_relay, witness.named())
    witness.answer = silence
    connections = await open_many(session.agent, 4)
    for _, writer in connections:
        writer.write(post("/models/v1/messages"))
    await session.until_open(4)
    answer = await session.agent.ask("/models/v1/messages", body=b"{}")
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"rate_limited" in answer
    for _, writer in connections:
        writer.transport.abort()
    await session.until_open(0)
    witness.answer = whole
    assert (await session.agent.ask("/models/v1/messages")).endswith(b"whole")


async def test_requests_before_their_turn__are_not_read_ahead(
    agents_relay: Relay, witness: Witness
) -> None:
    """Their heads would be kept for as long as the first one's answer takes."""
    gate = asyncio.Event()

    async def late(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await gate.wait()

    session = await bind_agent(agents_relay, witness.named())
    witness.answer = late
    _, writer = await asyncio.open_unix_connection(str(session.agent.path))
    writer.write(post("/models/v1/messages"))
    await session.until_open(1)
    fields = "".join(f"X-{number}: {'x' * 8000}\r\n" for number in range(90))
    head = f"GET /models/v1/messages HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode()
    sent = 0
    try:
        async with asyncio.timeout(1):  # the first one's answer is waited for much longer
            for _ in range(24):
                writer.write(head)
                await writer.drain()
                sent += len(head)
    except TimeoutError:
        pass
    writer.transport.abort()
    assert sent < 6 * len(head)
    gate.set()
    await session.until_open(0)


@hasty(HEAD="1")
@pytest.mark.parametrize("which", ["control", "agent"])
async def test_a_head_that_does_not_end__is_not_waited_for(
    agents_relay: Relay, witness: Witness, which: str
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    socket: Bound = getattr(session, which)
    clock = asyncio.get_running_loop()
    begun = clock.time()
    reader, writer = await asyncio.open_unix_connection(str(socket.path))

    async def drip() -> None:
        writer.write(b"POST /models/v1/messages HTTP/1.1\r\nX-Slow: ")
        while True:
            await asyncio.sleep(0.1)
            writer.write(b"x")

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(30):  # less than it is by default
        assert await reader.read() == b""
    assert clock.time() - begun > 0.5  # but not cut at once
    dripping.cancel()
    writer.close()


class Flood:
    """Connections and half requests as fast as they go, on both sockets, until it is cancelled."""

    def __init__(self) -> None:
        self.connections = 0

    async def run(self, session: Session) -> None:
        while True:
            for socket in (session.agent, session.control):
                reader, writer = await asyncio.open_unix_connection(str(socket.path))
                writer.write(b"GET /models/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
                self.connections += 1
                if self.connections % 50 == 0:
                    await asyncio.wait([asyncio.create_task(reader.read(1))], timeout=0.05)
                writer.transport.abort()


async def test_a_flood__does_not_starve_another_session(
    agents_relay: Relay, witness: Witness
) -> None:
    bad, good = [await bind_agent(agents_relay, witness.named()) for _ in range(2)]
    flood = Flood()
    flooding = [asyncio.create_task(flood.run(bad)) for _ in range(4)]
    behind: list[int] = []
    while len(behind) < 30 or flood.connections <= 100:
        before = flood.connections
        answer = await good.agent.ask("/models/v1/messages", body=b"{}")
        behind.append(flood.connections - before)
        assert answer.endswith(b"whole"), answer
    for task in flooding:
        task.cancel()
    await asyncio.wait(flooding)
    assert sorted(behind)[len(behind) // 2] < MANY_BEFORE, behind
    assert agents_relay.log.count('"relay_denied"') <= 100  # lines of a minute


async def test_tls__the_upstreams_certificate_is_verified(
    agents_relay: Relay, short_dir: Path
) -> None:
    """And it is not waited for as one that is away, which is longer than `ask` waits."""
    authority, server = authority_and_server(short_dir)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server)
    async with Witness(tls=tls) as witness:
        session = await bind_agent(agents_relay, witness.named())
        answer = await session.agent.ask("/models/v1/messages", body=b"{}")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"certificate" in answer
        assert witness.seen == []
        trusting = Relay(
            short_dir / "second",
            RELAY_CREDENTIALS_DIR=str(short_dir / "credentials"),
        )
        trusting.trust(authority)
        async with trusting:
            session = await bind_agent(trusting, witness.named())
            answer = await session.agent.ask("/models/v1/messages", body=b"{}")
        assert answer.endswith(b"whole")
        assert witness.seen[0].all("authorization") == [f"Bearer {SECRET}"]
