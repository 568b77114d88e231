"""Who gets in, for how long, and what the control plane is told of them."""

import asyncio

import aiohttp
import pytest

from chassis.auth import verify_identity
from tests.fixtures.clock import ManualClock
from tests.fixtures.gateway import Front
from tests.fixtures.upstream import CLAIMS, KEY, Upstream

PATH = "/api/v1/things"


async def status(http: aiohttp.ClientSession, **headers: str) -> int:
    async with http.get(PATH, headers=headers) as answer:
        return answer.status


async def test_identity__is_signed_for_the_control_plane(
    http: aiohttp.ClientSession, upstream: Upstream, public_key: str
) -> None:
    assert await status(http) == 200
    token = upstream.seen[0].headers["x-berth-identity"]
    assert verify_identity(public_key, token, "control_plane") == CLAIMS
    assert "authorization" not in upstream.seen[0].headers


async def test_key__may_come_as_x_api_key(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    headers = {"X-API-Key": KEY, "Authorization": "Basic eDp5"}
    assert await status(http, **headers) == 200
    assert "x-api-key" not in upstream.seen[0].headers


@pytest.mark.parametrize("given", ["Bearer bk_another-key-entirely", "Bearer x", "", "Basic abc"])
async def test_wrong_key__is_refused(
    http: aiohttp.ClientSession, upstream: Upstream, given: str
) -> None:
    async with http.get(PATH, headers={"Authorization": given}) as answer:
        assert answer.status == 401
        assert answer.content_type == "application/problem+json"
        problem = await answer.json()
        assert problem["code"] == "unauthenticated"
        assert problem["trace_id"] == answer.headers["X-Trace-ID"]
    assert upstream.seen == []


async def test_answer__is_remembered_below_ten_seconds(
    http: aiohttp.ClientSession, upstream: Upstream, clock: ManualClock
) -> None:
    assert [await status(http), await status(http)] == [200, 200]
    assert upstream.introspections == 1
    upstream.active = False
    await clock.advance(10)
    assert await status(http) == 401


async def test_refusal__is_remembered_too(
    http: aiohttp.ClientSession, upstream: Upstream, clock: ManualClock
) -> None:
    upstream.active = False
    assert [await status(http), await status(http)] == [401, 401]
    assert upstream.introspections == 1
    upstream.active = True
    await clock.advance(10)
    assert await status(http) == 200


async def test_lookups__of_one_key_are_shared_and_survive_who_asked_first(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    upstream.introspect_gate.clear()
    first = asyncio.create_task(status(http))
    await asyncio.wait_for(upstream.introspecting.wait(), 30)
    others = [asyncio.create_task(status(http)) for _ in range(5)]
    first.cancel()
    upstream.introspect_gate.set()
    assert await asyncio.gather(*others) == [200] * 5
    assert upstream.introspections == 1


async def test_control_plane_away__nobody_gets_in(front: Front, upstream: Upstream) -> None:
    async with front(control_plane_url="http://127.0.0.1:1") as http, http.get(PATH) as answer:
        assert answer.status == 503
        problem = await answer.json()
    assert problem["code"] == "dependency_unavailable"
    assert problem["details"]["missing"][0]["what"] == "control_plane"


async def test_our_own_key_refused__is_not_the_callers_fault(
    front: Front, upstream: Upstream
) -> None:
    async with front(service_key="bsk_gateway_wrong") as http:
        assert await status(http) == 503


async def test_limit__is_counted_by_key_and_told(
    front: Front, upstream: Upstream, clock: ManualClock
) -> None:
    upstream.rate_limit = 3
    async with front() as http:
        assert [await status(http) for _ in range(4)] == [200, 200, 200, 429]
        async with http.get(PATH) as answer:
            assert answer.headers["Retry-After"] == "20"
            assert answer.headers["RateLimit-Limit"] == "3"
            assert answer.headers["RateLimit-Remaining"] == "0"
            assert answer.headers["RateLimit-Reset"] == "60"
            assert (await answer.json())["code"] == "rate_limited"
        await clock.advance(20)
        assert await status(http) == 200
