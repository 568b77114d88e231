"""One file of a workspace, through the gateway: by ticket, as a safe download, bounded."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from chassis.auth import IDENTITY_HEADER, verify_identity
from chassis.ids import new_id
from contracts.errors import RENDERINGS, Code, Problem
from contracts.tickets import AskTicket, Ticket
from contracts.workspace_files import READS, WRITES
from gateway.asked_files import Call, asked_in_query
from gateway.routes.files import ROUTE
from tests.fixtures.gateway import Front
from tests.fixtures.serving import serving
from tests.fixtures.upstream import SERVICE_KEY, Upstream

SESSION = new_id()
FILE = f"/api/v1/session-workers/{SESSION}/workspace/file"
MIB = 1024 * 1024


@dataclass
class Host:
    """ASGI: where the session's manager would be. It has one file, in pieces."""

    pieces: list[bytes] = field(default_factory=lambda: [b"one ", b"file"])
    length: int | None = None
    """What it promises; None: what it has."""
    problem: Problem | None = None
    held: asyncio.Event | None = None
    """Waited for before anything is answered."""
    seen: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await receive()
        target = f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append({"target": target, "headers": headers})
        gone = asyncio.create_task(receive())
        gone.add_done_callback(lambda _: self.left.set())
        if self.held is not None:
            await asyncio.wait(
                {gone, asyncio.create_task(self.held.wait())}, return_when="FIRST_COMPLETED"
            )
        if self.problem is not None:
            await _say(send, self.problem.status, msgspec.json.encode(self.problem))
            return
        length = self.length if self.length is not None else sum(map(len, self.pieces))
        given = [(b"content-length", b"%d" % length), (b"content-type", b"text/html")]
        given += [(b"set-cookie", b"a=b"), (b"content-disposition", b"inline")]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        for piece in self.pieces:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            self.sent += len(piece)
        if self.length is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        gone.cancel()


async def _say(send: Any, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def problem(code: Code) -> Problem:
    rendering = RENDERINGS[code]
    return Problem(title=rendering.title, status=rendering.status, code=code, detail="so it is")


@pytest.fixture
async def host(upstream: Upstream) -> AsyncGenerator[Host]:
    host = Host()
    async with serving(host, graceful_seconds=0) as url:
        upstream.ticket = Ticket(
            ticket="btk_one", worker_id=new_id(), manager_url=f"{url}/", expires_in_seconds=60
        )
        yield host


def url_of(http: aiohttp.ClientSession, path: str) -> URL:
    return URL(f"{str(http._base_url).rstrip('/')}{FILE}?path={path}", encoded=True)


async def test_file__comes_with_the_headers_of_a_download(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    async with http.get(FILE, params={"path": "src/one.html"}) as answer:
        assert (answer.status, await answer.read()) == (200, b"one file")
        headers = answer.headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Length"] == "8"
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"one.html\"; filename*=UTF-8''one.html"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-store"
    assert "Set-Cookie" not in headers
    assert headers["X-Trace-ID"]
    assert headers["RateLimit-Limit"] == "600"


async def test_ticket__is_asked_in_the_callers_name_and_is_all_that_the_manager_sees(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, public_key: str
) -> None:
    async with http.get(FILE, params={"path": "a"}, headers={"Cookie": "c=d"}) as answer:
        await answer.read()
    (asked,) = upstream.seen
    assert asked.headers["authorization"] == f"Bearer {SERVICE_KEY}"
    claims = verify_identity(public_key, asked.headers[IDENTITY_HEADER.lower()], "control_plane")
    assert claims.name == "Ada"
    ask = msgspec.json.decode(asked.body, type=AskTicket)
    assert ask == AskTicket(
        session_id=SESSION, audience="workspace.read", operation="file", paths=["a"]
    )
    (seen,) = host.seen
    assert isinstance(upstream.ticket, Ticket)
    worker = upstream.ticket.worker_id
    assert seen["target"] == f"/internal/v1/workers/{worker}/workspace/file?path=a"
    assert seen["headers"]["x-berth-ticket"] == "btk_one"
    assert seen["headers"]["traceparent"].split("-")[1] == answer.headers["X-Trace-ID"]
    assert not seen["headers"].keys() & {"authorization", "x-berth-identity", "cookie"}


@pytest.mark.parametrize(
    ("path", "arrives", "named"),
    [
        ("a%2Fb%20c%3F%26%23.txt", "a/b%20c%3F%26%23.txt", ("b c?&#.txt", "b%20c%3F%26%23.txt")),
        ("a+b", "a%20b", ("a b", "a%20b")),
        (
            "%C3%A4%22%5C%0D%0Ax%3A%20y",
            "%C3%A4%22%5C%0D%0Ax%3A%20y",
            ("_____x: y", "%C3%A4%22%5C%0D%0Ax%3A%20y"),
        ),
        ("%FF", "%FF", ("_", "%EF%BF%BD")),
    ],
)
async def test_path__arrives_byte_by_byte_and_its_name_is_no_header_of_its_own(
    http: aiohttp.ClientSession,
    host: Host,
    path: str,
    arrives: str,
    named: tuple[str, str],
) -> None:
    async with http.get(url_of(http, path)) as answer:
        assert answer.status == 200
        disposition = answer.headers["Content-Disposition"]
    assert host.seen[0]["target"].endswith(f"/workspace/file?path={arrives}")
    plain, real = named
    assert disposition == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{real}"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?path=",
        "?path=a&path=b",
        "?path=a%00b",
        f"?path={'x' * 4097}",
        "?path=../../etc/passwd",
        "?path=/etc/passwd",
        "?path=a/%2e%2e/%2e%2e/b",
        "?path=%2E%2E%2Fb&escaped=1",
        "?path=x/",
    ],
)
async def test_path__that_is_none_is_refused_by_name(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, query: str
) -> None:
    async with http.get(f"{FILE}{query}") as answer:
        assert answer.status == 400
        assert (await answer.json(content_type=None))["details"]["field"] == "path"
    assert (upstream.seen, host.seen) == ([], [])


async def test_other_method__is_refused(http: aiohttp.ClientSession, host: Host) -> None:
    for method in ("HEAD", "POST", "PATCH"):
        async with http.request(method, FILE, params={"path": "a"}) as answer:
            assert answer.status == 405
    assert host.seen == []


async def test_stranger__gets_no_ticket(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    wrong = {"Authorization": "Bearer bk_somebody-else"}
    async with http.get(FILE, params={"path": "a"}, headers=wrong) as answer:
        assert answer.status == 401
    assert upstream.seen == []


async def test_limit__counts_downloads_too(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    upstream.rate_limit = 2
    statuses: list[int] = []
    for path in (FILE, "/api/v1/x", FILE):
        async with http.get(path, params={"path": "a"}) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("code", [Code.SESSION_NOT_FOUND, Code.SENSITIVE_PATH, Code.FORBIDDEN])
async def test_refusal_of_a_ticket__is_told_on(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, code: Code
) -> None:
    upstream.ticket = problem(code)
    async with http.get(FILE, params={"path": "a"}) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["code"]) == (RENDERINGS[code].status, code)
    assert told["detail"] == "so it is"
    assert host.seen == []


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.VALIDATION, Code.SENSITIVE_PATH])
async def test_refusal_of_the_file__is_told_on(
    http: aiohttp.ClientSession, host: Host, code: Code
) -> None:
    host.problem = problem(code)
    async with http.get(FILE, params={"path": "a"}) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["code"]) == (RENDERINGS[code].status, code)


@pytest.mark.parametrize("code", [Code.UNAUTHENTICATED, Code.TICKET_INVALID, Code.INTERNAL])
async def test_refusal_of_our_ticket__is_no_business_of_the_callers(
    http: aiohttp.ClientSession, host: Host, code: Code
) -> None:
    host.problem = problem(code)
    async with http.get(FILE, params={"path": "a"}) as answer:
        (missing,) = (await answer.json(content_type=None))["details"]["missing"]
    assert answer.status == 503
    assert missing["what"] == "executor_manager"


async def test_manager_that_is_away__is_named(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    upstream.ticket = Ticket(
        ticket="t", worker_id=new_id(), manager_url="http://127.0.0.1:1", expires_in_seconds=60
    )
    async with http.get(FILE, params={"path": "a"}) as answer:
        (missing,) = (await answer.json(content_type=None))["details"]["missing"]
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert missing["what"] == "executor_manager"
    assert "BERTH_ADVERTISE_URL" in missing["how"]


async def test_manager_that_is_silent__is_not_waited_for_long(front: Front, host: Host) -> None:
    host.held = asyncio.Event()
    async with front(idle_seconds=1.0) as http, http.get(FILE, params={"path": "a"}) as answer:
        assert answer.status == 504
    await asyncio.wait_for(host.left.wait(), 30)


async def test_manager_cut__is_no_whole_file(http: aiohttp.ClientSession, host: Host) -> None:
    host.length = 100
    async with http.get(FILE, params={"path": "a"}) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_reader_that_takes_nothing__holds_the_manager_up_and_leaving_ends_it(
    http: aiohttp.ClientSession, host: Host
) -> None:
    host.pieces = [b"x" * MIB] * 256
    answer = await http.get(FILE, params={"path": "a"})
    assert await answer.content.read(1) == b"x"
    held_at = -1
    async with asyncio.timeout(20):
        while host.sent != held_at:  # nothing tells that nothing goes on
            held_at = host.sent
            await asyncio.sleep(0.3)
    assert held_at < 64 * MIB
    assert not host.left.is_set()
    answer.close()
    await asyncio.wait_for(host.left.wait(), 30)


def test_route__is_in_the_description_of_the_api() -> None:
    document = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
    served = {
        (method.upper(), operation)
        for operation in ("tree", "file", "upload", "rename", "mkdir", "download", "search")
        for method in document["paths"][ROUTE.replace("{operation}", operation)]
    }
    assert served == READS | WRITES
    assert ROUTE.format(session_id=SESSION, operation="file") == FILE


@pytest.mark.parametrize(
    ("call", "query", "beneath"),
    [
        (("GET", "download"), b"path=src", True),
        (("GET", "search"), b"path=src&text=key", True),
        (("GET", "search"), b"path=src&name=*.py", False),
        (("GET", "file"), b"path=a", False),
        (("GET", "tree"), b"", False),
    ],
)
def test_asked__says_whether_what_is_in_it_is_opened(
    *, call: Call, query: bytes, beneath: bool
) -> None:
    assert asked_in_query(call, query).beneath is beneath
