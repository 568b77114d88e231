"""Calls between services against a real server on a Unix socket or a port."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody

from chassis.app import build_litestar
from chassis.breaker import THRESHOLD
from chassis.client import ServiceClient
from chassis.errors import BerthError, CallFailed
from contracts.endpoint import Endpoint
from contracts.errors import Code
from contracts.wire import Empty, Wire
from tests.fixtures.clock import ManualClock
from tests.fixtures.serving import serving


class Echo(Wire, frozen=True, kw_only=True):
    text: str


ECHO = Endpoint("/echo/{name}", Echo, Echo)
READ = Endpoint("/read", Empty, Echo, method="GET")
FLAKY = Endpoint("/flaky", Echo, Echo, idempotent=True)
FLAKY_ONCE = Endpoint("/flaky", Echo, Echo)
SLOW = Endpoint("/slow", Empty, Empty, deadline=0.2)
REFUSED = Endpoint("/refused", Empty, Empty, idempotent=True)


class Peer:
    """What the other side saw."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures_left = 0
        self.retry_after: float | None = None
        self.headers: dict[str, str] = {}
        self.body = b""


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def url(peer: Peer) -> AsyncGenerator[str]:
    @post("/echo/{name:str}", status_code=200)
    async def echo(name: FromPath[str], data: JSONBody[Echo], request: Request) -> Echo:
        peer.headers = dict(request.headers)
        return Echo(text=f"{name}:{data.text}")

    @get("/read")
    async def read(request: Request) -> Echo:
        peer.body = await request.body()
        return Echo(text="read")

    @post("/flaky", status_code=200)
    async def flaky(data: JSONBody[Echo]) -> Echo:
        peer.calls += 1
        if peer.calls <= peer.failures_left:
            raise BerthError(Code.DEPENDENCY_UNAVAILABLE, "away", retry_after=peer.retry_after)
        return data

    @post("/slow", status_code=200)
    async def slow() -> Empty:
        await asyncio.sleep(30)
        return Empty()

    @post("/refused", status_code=200)
    async def refused() -> Empty:
        peer.calls += 1
        raise BerthError(Code.STALE_EPOCH, "superseded", epoch=7)

    app = build_litestar(service="peer", route_handlers=[echo, read, flaky, slow, refused])
    async with serving(app, graceful_seconds=0) as address:
        yield address


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def client(url: str, clock: ManualClock) -> AsyncGenerator[ServiceClient]:
    async with ServiceClient(url, key="bsk_test_x", target="peer", clock=clock) as made:
        yield made


async def test_call__fills_the_path_and_carries_key_and_trace(
    client: ServiceClient, peer: Peer
) -> None:
    answer = await client.call(ECHO, Echo(text="hi"), path={"name": "a b"})
    assert answer == Echo(text="a b:hi")
    assert peer.headers["authorization"] == "Bearer bsk_test_x"
    assert peer.headers["traceparent"].startswith("00-")


async def test_get__sends_no_body(client: ServiceClient, peer: Peer) -> None:
    assert await client.call(READ, Empty()) == Echo(text="read")
    assert peer.body == b""


async def test_unix_socket__is_called_like_a_port(tmp_path: Path) -> None:
    @post("/echo/{name:str}", status_code=200)
    async def echo(name: FromPath[str], data: JSONBody[Echo]) -> Echo:
        return Echo(text=name + data.text)

    path = str(tmp_path / "peer.sock")
    app = build_litestar(service="peer", route_handlers=[echo])
    async with serving(app, uds=path) as url, ServiceClient(url, uds=path, target="peer") as client:
        assert await client.call(ECHO, Echo(text="2"), path={"name": "1"}) == Echo(text="12")
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # pathlib may not be used in a coroutine


@pytest.mark.parametrize(
    ("field", "told"), [("X-None: 0", "more than"), ("Content-Encoding: zstd", "packed")]
)
async def test_answer__without_end_or_packed_is_not_read(
    tmp_path: Path, field: str, told: str
) -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while True:
                writer.write(bytes(1024 * 1024))
                await writer.drain()

    path = str(tmp_path / "peer.sock")
    async with (
        await asyncio.start_unix_server(pour, path),
        ServiceClient("http://peer", uds=path, target="peer", attempts=1) as client,
    ):
        with pytest.raises(CallFailed, match=told) as failed:
            await client.call(READ, Empty(), deadline=20)
        assert failed.value.kind == "http"


async def test_idempotent__is_tried_again(client: ServiceClient, peer: Peer) -> None:
    peer.failures_left = 2
    assert await client.call(FLAKY, Echo(text="x")) == Echo(text="x")
    assert peer.calls == 3


async def test_not_idempotent__is_never_repeated(client: ServiceClient, peer: Peer) -> None:
    peer.failures_left = 1
    with pytest.raises(CallFailed) as caught:
        await client.call(FLAKY_ONCE, Echo(text="x"))
    assert (caught.value.kind, caught.value.status, caught.value.attempts) == ("http", 503, 1)
    assert caught.value.code == "dependency_unavailable"


async def test_retry_after__is_waited_for(
    client: ServiceClient, peer: Peer, clock: ManualClock
) -> None:
    peer.failures_left, peer.retry_after = 1, 4
    await client.call(FLAKY, Echo(text="x"))
    assert clock.slept == [4.0]


async def test_retry_after__beyond_the_deadline_fails_at_once(
    client: ServiceClient, peer: Peer, clock: ManualClock
) -> None:
    peer.failures_left, peer.retry_after = 1, 4
    with pytest.raises(CallFailed):
        await client.call(FLAKY, Echo(text="x"), deadline=3)
    assert clock.slept == []


async def test_refusal__is_not_repeated_and_keeps_its_problem(
    client: ServiceClient, peer: Peer
) -> None:
    with pytest.raises(CallFailed) as caught:
        await client.call(REFUSED, Empty())
    assert peer.calls == 1
    assert caught.value.code == Code.STALE_EPOCH
    assert caught.value.problem is not None
    assert caught.value.problem.details == {"epoch": 7}


async def test_deadline__is_a_timeout(client: ServiceClient) -> None:
    with pytest.raises(CallFailed) as caught:
        await client.call(SLOW, Empty())
    assert (caught.value.kind, caught.value.attempts) == ("timeout", 1)


async def test_nobody_there__is_a_network_failure_after_retries(clock: ManualClock) -> None:
    async with ServiceClient("http://127.0.0.1:1", target="gone", clock=clock) as client:
        with pytest.raises(CallFailed) as caught:
            await client.call(FLAKY, Echo(text="x"))
    assert (caught.value.kind, caught.value.attempts) == ("network", 5)
    assert len(clock.slept) == 4


async def test_breaker__opens_probes_and_closes(
    client: ServiceClient, peer: Peer, clock: ManualClock
) -> None:
    peer.failures_left = THRESHOLD + 1
    for _ in range(THRESHOLD):
        with pytest.raises(CallFailed):
            await client.call(FLAKY_ONCE, Echo(text="x"))
    with pytest.raises(CallFailed) as refused:
        await client.call(FLAKY_ONCE, Echo(text="x"))
    assert (refused.value.attempts, peer.calls) == (0, THRESHOLD)
    await clock.advance(1.1)
    with pytest.raises(CallFailed) as probed:  # the probe fails: open again, for longer
        await client.call(FLAKY_ONCE, Echo(text="x"))
    assert probed.value.attempts == 1
    await clock.advance(1.1)
    with pytest.raises(CallFailed) as refused:
        await client.call(FLAKY_ONCE, Echo(text="x"))
    assert refused.value.attempts == 0
    await clock.advance(1.0)
    assert await client.call(FLAKY_ONCE, Echo(text="x")) == Echo(text="x")
    assert await client.call(FLAKY_ONCE, Echo(text="y")) == Echo(text="y")


async def test_breaker__lets_a_call_of_its_own_pace_through(
    client: ServiceClient, peer: Peer
) -> None:
    peer.failures_left = THRESHOLD
    for _ in range(THRESHOLD):
        with pytest.raises(CallFailed):
            await client.call(FLAKY_ONCE, Echo(text="x"))
    with pytest.raises(CallFailed) as refused:
        await client.call(FLAKY_ONCE, Echo(text="x"))
    assert refused.value.attempts == 0
    assert await client.call(FLAKY_ONCE, Echo(text="x"), paced=True) == Echo(text="x")
    assert await client.call(FLAKY_ONCE, Echo(text="y")) == Echo(text="y")
