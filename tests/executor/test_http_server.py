"""The executor's HTTP face on a real socket: what it answers, what it refuses, how it ends."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import pytest

from chassis.client import ServiceClient
from chassis.errors import BerthError, CallFailed
from chassis.listening import bind
from contracts.endpoint import Endpoint
from contracts.errors import Code, Problem
from contracts.wire import Empty, Wire
from executor import http_server
from executor.http_routes import Answer, Request, Route, Router, Stream, typed
from executor.http_server import Server

DEADLINE = 30.0
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Item(Wire, frozen=True, kw_only=True):
    count: int
    ids: list[UUID] = msgspec.field(default_factory=list[UUID])


class Order(Wire, frozen=True, kw_only=True):
    item: Item


ORDER = Endpoint("/orders", Order, Order, idempotent=True)
BROKEN = Endpoint("/broken", Empty, Empty)
LIMITED = Endpoint("/limited", Empty, Empty)
SLOW = Endpoint("/slow", Empty, Empty, idempotent=True)


class Shop:
    """Answers when told to, and says what it went through."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked = asyncio.Event()
        self.release = asyncio.Event()
        self.closed = asyncio.Event()
        self.pieces = [b"x" * 300_000, b"y" * 5]
        self.told = sum(map(len, self.pieces))
        routes = [
            typed(ORDER, self._order),
            typed(BROKEN, self._broken),
            typed(LIMITED, self._limited),
            typed(SLOW, self._slow),
            Route(method="GET", path="/bytes", handle=self._bytes),
            Route(method="PUT", path="/taken", handle=self._taken, streamed=True),
        ]
        router = Router(routes)
        self.server = Server(router, router.streams)
        self.taken: list[int] = []
        self.most = 1 << 40

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)

    async def _order(self, body: Order) -> Order:
        return body

    async def _broken(self, _: Empty) -> Empty:
        raise RuntimeError("the password is hunter2")

    async def _limited(self, _: Empty) -> Empty:
        raise BerthError(Code.RATE_LIMITED, "slower", retry_after=2.2)

    async def _slow(self, _: Empty) -> Empty:
        self.asked.set()
        await self.release.wait()
        return Empty()

    async def _taken(self, request: Request) -> Answer:
        assert request.content is not None
        async for piece in request.content:
            self.taken.append(len(piece))
            self.asked.set()
            if sum(self.taken) > self.most:
                raise BerthError(Code.TOO_LARGE, "no more of it")
        return Answer(body=b"%d" % sum(self.taken))

    async def _bytes(self, request: Request) -> Answer:
        assert request.parameters()["path"] == "a b/ü".encode()
        return Answer(body=Stream(size=self.told, chunks=_Chunks(self)))


class _Chunks:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._shop.pieces:
            yield piece

    async def aclose(self) -> None:
        self._shop.closed.set()


@asynccontextmanager
async def opened(place: Path) -> AsyncGenerator[Shop]:
    path = str(place / "control" / "shop.sock")
    shop = Shop(path)
    await shop.server.open(bind(uds=path))
    try:
        yield shop
    finally:
        await shop.server.end(0)


@pytest.fixture
async def shop(place: Path) -> AsyncGenerator[Shop]:
    async with opened(place) as made:
        yield made


@pytest.fixture
async def http(shop: Shop) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=shop.path)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://x", timeout=DEADLINE
    ) as client:
        yield client


async def test_endpoint__is_answered_with_its_types(shop: Shop) -> None:
    async with ServiceClient("http://x", uds=shop.path, target="shop") as client:
        order = Order(item=Item(count=3))
        assert [await client.call(ORDER, order) for _ in range(3)] == [order] * 3


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"item": {"count": "many"}}, "item.count", "`int`"),
        ({"item": {"count": 1, "ids": ["x"]}}, "item.ids[0]", "Invalid UUID"),
        ({"item": {}}, "item.count", "a value: it is required"),
        ({}, "item", "a value: it is required"),
        ([], "body", "`object`"),
    ],
)
async def test_validation__names_the_field_and_what_would_be_right(
    http: httpx.AsyncClient, body: object, field: str, expected: str
) -> None:
    answer = await http.post("/orders", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["details"] == {"field": field, "expected": expected}


@pytest.mark.parametrize(
    ("line", "content", "status", "code"),
    [
        ("GET /nowhere application/json", b"", 404, "not_found"),
        ("PUT /orders application/json", b"{}", 405, "method_not_allowed"),
        ("POST /orders application/json", b"x" * 10_000_001, 413, "too_large"),
        ("POST /orders text/plain", b"a=1", 415, "unsupported_media_type"),
        ("POST /orders application/json", b"{", 400, "validation_failed"),
        ("POST /orders application/json", b"", 400, "validation_failed"),
        ("POST /orders application/json", b'"\xff"', 400, "validation_failed"),
        ("POST /orders application/json", b"[" * 100_000, 400, "validation_failed"),
        ("GET /bytes?path=a&path=b application/json", b"", 400, "validation_failed"),
    ],
)
async def test_refusal__is_a_problem_with_its_code(
    http: httpx.AsyncClient, line: str, content: bytes, status: int, code: str
) -> None:
    method, path, kind = line.split()
    answer = await http.request(method, path, content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_body__without_a_length_is_cut_at_the_limit(shop: Shop) -> None:
    reader, writer = await shop.connect()
    writer.write(b"POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    for _ in range(10):
        writer.write(piece)
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_unexpected_error__tells_nothing_but_its_trace(http: httpx.AsyncClient) -> None:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "mine-1"}
    answer = await http.post("/broken", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"] == TRACE
    assert answer.headers["x-request-id"] == "mine-1"


async def test_trace__that_cannot_be_read_starts_anew(http: httpx.AsyncClient) -> None:
    answer = await http.post("/limited", headers={"traceparent": "00-zz-1-01"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-trace-id"])


async def test_stream__comes_whole_and_is_closed(shop: Shop, http: httpx.AsyncClient) -> None:
    for _ in range(2):  # on one connection
        answer = await http.get("/bytes", params={"path": "a b/ü"})
        assert answer.content == b"".join(shop.pieces)
    assert shop.closed.is_set()


@pytest.mark.parametrize("wrong", [-1, 1])
async def test_stream__that_differs_from_its_size_is_cut(
    shop: Shop, http: httpx.AsyncClient, wrong: int
) -> None:
    shop.told += wrong
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/bytes", params={"path": "a b/ü"})
    assert shop.closed.is_set()


async def test_stream__nobody_takes_is_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "SEND_SECONDS", 0.2)
    shop.pieces = [b"x" * 100_000] * 100
    shop.told = 10_000_000
    _, writer = await shop.connect()
    writer.write(b"GET /bytes?path=a%20b/%C3%BC HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        await shop.closed.wait()
    writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"HTTP/1.1 413"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),  # no Host
        (b"nothing like it\r\n\r\n", b"HTTP/1.1 400"),
    ],
)
async def test_head__that_is_none_is_refused(shop: Shop, sent: bytes, status: bytes) -> None:
    reader, writer = await shop.connect()
    writer.write(sent)
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()
    assert answer.startswith(status)
    problem = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=Problem)
    assert problem.detail.startswith("no HTTP request")
    writer.close()


@pytest.mark.parametrize(
    ("setting", "sent"),
    [
        ("HEAD_SECONDS", b""),
        ("HEAD_SECONDS", b"GET / HTTP/1.1\r\nHost:"),
        ("BODY_SECONDS", b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"),
    ],
)
async def test_request__that_does_not_arrive_ends_the_connection(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, setting: str, sent: bytes
) -> None:
    monkeypatch.setattr(http_server, setting, 0.2)
    reader, writer = await shop.connect()
    writer.write(sent)
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b""
    writer.close()


async def test_idle_connection__ends_after_a_while(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "KEEP_IDLE_SECONDS", 0.2)
    reader, writer = await shop.connect()
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        assert b"404" in await reader.read()
    writer.close()


async def test_end__waits_for_what_is_under_way_alone(shop: Shop, http: httpx.AsyncClient) -> None:
    idle, writer = await shop.connect()
    call = asyncio.create_task(http.post("/slow"))
    await asyncio.wait_for(shop.asked.wait(), DEADLINE)
    ending = asyncio.create_task(shop.server.end(DEADLINE))
    async with asyncio.timeout(DEADLINE):
        assert await idle.read() == b""
        assert not ending.done()
        shop.release.set()
        answer = await call
        await ending
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert not Path(shop.path).exists()  # noqa: ASYNC240  # one look
    writer.close()


async def test_end__does_not_wait_for_ever(place: Path) -> None:
    async with opened(place) as shop:
        reader, writer = await shop.connect()
        writer.write(b"POST /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(shop.asked.wait(), DEADLINE)
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b""
    writer.close()


async def test_requests__one_after_the_other_without_waiting(shop: Shop) -> None:
    reader, writer = await shop.connect()
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404")
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
    writer.close()


async def test_expectation__is_answered_before_the_body(shop: Shop) -> None:
    reader, writer = await shop.connect()
    body = b'{"item":{"count":1}}'
    writer.write(
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    async with asyncio.timeout(DEADLINE):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_client_that_leaves__is_no_failure_of_the_next(shop: Shop) -> None:
    _, writer = await shop.connect()
    writer.write(b"POST /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(shop.asked.wait(), DEADLINE)
    writer.close()
    shop.release.set()
    async with ServiceClient("http://x", uds=shop.path, target="shop") as client:
        await client.call(SLOW, Empty())
        with pytest.raises(CallFailed) as refused:
            await client.call(LIMITED, Empty())
    assert refused.value.retry_after == 3.0


async def test_stream__is_taken_as_it_comes(shop: Shop, http: httpx.AsyncClient) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield b"x" * 10
        # the server has had it before there is more
        await asyncio.wait_for(shop.asked.wait(), DEADLINE)
        for _ in range(100):
            yield b"y" * 100_000

    answers = [await http.put("/taken", content=sent()), await http.put("/taken", content=b"zz")]
    assert [one.text for one in answers] == ["10000010", "10000012"]
    assert shop.taken[0] == 10
    assert max(shop.taken) <= 256 * 1024


async def test_stream__refused_in_the_middle_is_told_why(
    shop: Shop, http: httpx.AsyncClient
) -> None:
    """Whoever sends a large body sees the answer, not a connection that breaks."""
    shop.most = 1000

    async def sent() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    answer = await http.put("/taken", content=sent())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert sum(shop.taken) < 2_000_000


async def test_stream__that_breaks_off_or_is_silent_is_an_error_of_its_own(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.1)
    for ending in (True, False):
        reader, writer = await shop.connect()
        writer.write(b"PUT /taken HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        if ending:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), DEADLINE)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b'"field":"body"' in answer
        writer.close()
