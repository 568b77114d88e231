"""The frame around every request, on real sockets: problems, traces, request ids, health."""

import re
from collections.abc import AsyncGenerator
from typing import Annotated

import httpx
import msgspec
import pytest
from litestar import get, post
from litestar.params import JSONBody

from chassis.app import build_litestar
from chassis.errors import BerthError, DependencyUnavailable
from contracts.errors import Code
from contracts.wire import Body
from tests.fixtures.serving import serving


class Item(Body, frozen=True, kw_only=True):
    count: int
    name: Annotated[str, msgspec.Meta(min_length=2)] = "ok"


class Order(Body, frozen=True, kw_only=True):
    item: Item


@post("/orders", status_code=200)
async def order(data: JSONBody[Order]) -> Order:
    return data


@get("/limited")
async def limited() -> None:
    raise BerthError(Code.RATE_LIMITED, "slower", retry_after=2.2)


@get("/broken")
async def broken() -> None:
    raise RuntimeError("the password is hunter2")


async def store_is_away() -> None:
    raise DependencyUnavailable("store", "start the store")


@pytest.fixture(scope="module")
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    app = build_litestar(
        service="probe",
        route_handlers=[order, limited, broken],
        checks={"store": store_is_away},
        body_limit=2000,
        cors_origins=["https://portal.example"],
    )
    async with (
        serving(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"item": {"count": "many"}}, "item.count", "`int`"),
        ({"item": {"count": 1, "name": "x"}}, "item.name", "`str` of length >= 2"),
        ({"item": {}}, "item.count", "a value: it is required"),
        ({}, "item", "a value: it is required"),
        ({"item": {"count": 1, "color": 2}}, "item.color", "no such field"),
        ({"item": {"count": 1}, "color": 2}, "color", "no such field"),
    ],
)
async def test_validation__names_the_field_and_what_would_be_right(
    http: httpx.AsyncClient, body: object, field: str, expected: str
) -> None:
    answer = await http.post("/orders", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "validation_failed"
    assert answer.json()["details"] == {"field": field, "expected": expected}


@pytest.mark.parametrize(
    ("line", "content", "status", "code"),
    [
        ("GET /nowhere application/json", b"", 404, "not_found"),
        ("PUT /orders application/json", b"{}", 405, "method_not_allowed"),
        ("POST /orders application/json", b"x" * 3000, 413, "too_large"),
        ("POST /orders text/plain", b"a=1", 415, "unsupported_media_type"),
        ("POST /orders application/json", b"{", 400, "validation_failed"),
        ("POST /orders application/json", b"", 400, "validation_failed"),
    ],
)
async def test_refusal__is_a_problem_with_its_code(
    http: httpx.AsyncClient,
    line: str,
    content: bytes,
    status: int,
    code: str,
) -> None:
    method, path, kind = line.split()
    answer = await http.request(method, path, content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]


async def test_unexpected_error__tells_nothing_but_its_trace(http: httpx.AsyncClient) -> None:
    answer = await http.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
    assert "hunter2" not in answer.text


async def test_retry_after__is_rounded_up(http: httpx.AsyncClient) -> None:
    answer = await http.get("/limited")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


async def test_trace__of_the_caller_is_continued(http: httpx.AsyncClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-request-id": "mine-1"}
    answer = await http.get("/healthz", headers=headers)
    assert answer.headers["x-trace-id"] == trace
    assert answer.headers["x-request-id"] == "mine-1"


async def test_trace__that_cannot_be_read_starts_anew(http: httpx.AsyncClient) -> None:
    headers = {"traceparent": "00-zz-1-01", "x-request-id": "bad id"}
    answer = await http.get("/healthz", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-trace-id"])
    assert answer.headers["x-request-id"] != "bad id"


async def test_ready__names_what_is_missing(http: httpx.AsyncClient) -> None:
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["details"]["missing"] == [{"what": "store", "how": "start the store"}]


async def test_metrics__count_requests_by_route(http: httpx.AsyncClient) -> None:
    await http.get("/nowhere/at/all")
    text = (await http.get("/metrics")).text
    assert 'method="POST",route="/orders",status="400"' in text
    assert "/nowhere/at/all" not in text


async def test_cors__allows_the_configured_origin_only(http: httpx.AsyncClient) -> None:
    ours = await http.get("/healthz", headers={"origin": "https://portal.example"})
    other = await http.get("/healthz", headers={"origin": "https://evil.example"})
    assert ours.headers["access-control-allow-origin"] == "https://portal.example"
    assert "access-control-allow-origin" not in other.headers
