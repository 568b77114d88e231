"""What a session's container printed last, through the gateway: by ticket, as text, bounded."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from chassis.ids import new_id
from contracts.errors import RENDERINGS, Code
from contracts.tickets import MOST_LOG_BYTES, AskTicket, Ticket
from gateway.routes.logs import ROUTE
from tests.fixtures.serving import serving
from tests.fixtures.upstream import Upstream
from tests.gateway.test_gateway_files import Host, problem

SESSION = new_id()
PATH = f"/api/v1/session-workers/{SESSION}/logs"


@pytest.fixture
async def host(upstream: Upstream) -> AsyncGenerator[Host]:
    host = Host()
    async with serving(host, graceful_seconds=0) as url:
        upstream.ticket = Ticket(
            ticket="btk_one", worker_id=new_id(), manager_url=url, expires_in_seconds=60
        )
        yield host


@pytest.mark.parametrize(("query", "asked"), [("", 65536), ("?bytes=7", 7)])
async def test_log__comes_as_text_that_does_nothing(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, query: str, asked: int
) -> None:
    async with http.get(f"{PATH}{query}") as answer:
        assert (answer.status, await answer.read()) == (200, b"one file")
        headers = answer.headers
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Cache-Control"] == "private, no-store"
    assert "Set-Cookie" not in headers
    (ticket,) = upstream.seen
    ask = msgspec.json.decode(ticket.body, type=AskTicket)
    assert ask == AskTicket(session_id=SESSION, audience="worker.logs")
    assert isinstance(upstream.ticket, Ticket)
    (seen,) = host.seen
    worker = upstream.ticket.worker_id
    assert seen["target"] == f"/internal/v1/workers/{worker}/logs?bytes={asked}"
    assert seen["headers"]["x-berth-ticket"] == "btk_one"


@pytest.mark.parametrize(
    "query", ["bytes=0", f"bytes={MOST_LOG_BYTES + 1}", "bytes=-1", "bytes=", "bytes=1&bytes=2"]
)
async def test_log__no_more_than_its_bounds(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, query: str
) -> None:
    async with http.get(f"{PATH}?{query}") as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["details"]["field"]) == (400, "bytes")
    assert upstream.seen == []
    assert host.seen == []


async def test_log__is_only_read(http: aiohttp.ClientSession, host: Host) -> None:
    async with http.post(PATH) as answer:
        assert answer.status == 405
    assert host.seen == []


@pytest.mark.parametrize("code", [Code.FORBIDDEN, Code.WORKER_NOT_RUNNING])
async def test_refusal_of_a_ticket__is_told_on(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, code: Code
) -> None:
    upstream.ticket = problem(code)
    async with http.get(PATH) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["code"]) == (RENDERINGS[code].status, code)
    assert host.seen == []


def test_route__is_in_the_description_of_the_api() -> None:
    document = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
    operation = document["paths"][ROUTE]["get"]
    assert [one["name"] for one in operation["parameters"]] == ["session_id", "bytes"]
    assert ROUTE.format(session_id=SESSION) == PATH
