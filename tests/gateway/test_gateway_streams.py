"""Streams: sent at once, ended with the right kind of end, whoever leaves first."""

import asyncio

import aiohttp
import pytest

from gateway.stream import BYE
from tests.fixtures.gateway import Front
from tests.fixtures.upstream import Upstream


async def chunk(answer: aiohttp.ClientResponse) -> bytes:
    return await asyncio.wait_for(answer.content.readany(), 30)


async def test_chunk__is_sent_when_it_comes(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/api/v1/stream") as answer:
        assert answer.content_type == "text/event-stream"
        assert "X-Berth-Secret" not in answer.headers
        for text in (b"id: 1\n\n", b"id: 2\n", b"\n"):
            upstream.feed.put_nowait(text)
            assert await chunk(answer) == text
        upstream.feed.put_nowait(None)
        assert await chunk(answer) == b""


async def test_client_leaves__the_upstream_learns_it(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    answer = await http.get("/api/v1/stream")
    upstream.feed.put_nowait(b"id: 1\n\n")
    await chunk(answer)
    answer.close()
    await asyncio.wait_for(upstream.left.wait(), 30)


async def test_client_leaves__before_any_answer(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    asking = asyncio.create_task(http.get("/api/v1/silent"))
    await asyncio.wait_for(upstream.arrived.wait(), 30)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    await asyncio.wait_for(upstream.left.wait(), 30)


async def test_upstream_cut__is_no_clean_end(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/api/v1/stream") as answer:
        upstream.feed.put_nowait(b"id: 1\n\n")
        assert await chunk(answer) == b"id: 1\n\n"
        upstream.feed.put_nowait(RuntimeError())
        with pytest.raises(aiohttp.ClientPayloadError):
            await chunk(answer)


async def test_no_answer__is_a_timeout_of_the_upstream(front: Front, upstream: Upstream) -> None:
    async with front(first_byte_seconds=1.0) as http, http.get("/api/v1/silent") as answer:
        assert answer.status == 504
        assert (await answer.json())["code"] == "upstream_timeout"
    await asyncio.wait_for(upstream.left.wait(), 30)


async def test_silence__cuts_the_stream(front: Front, upstream: Upstream) -> None:
    upstream.feed.put_nowait(b"id: 1\n\n")  # it comes with the head: no time for a silence
    async with front(idle_seconds=1.0) as http, http.get("/api/v1/stream") as answer:
        assert await chunk(answer) == b"id: 1\n\n"
        with pytest.raises(aiohttp.ClientPayloadError):
            await chunk(answer)
    await asyncio.wait_for(upstream.left.wait(), 30)


async def test_stop__says_bye_between_events(front: Front, upstream: Upstream) -> None:
    stop = asyncio.Event()
    async with front(stop=stop) as http:
        first, second = [await http.get("/api/v1/stream") for _ in range(2)]
        upstream.feed.put_nowait(b"id: 1\n\n")
        upstream.feed.put_nowait(b"id: 2\n")
        answers = {await chunk(one): one.content for one in (first, second)}
        stop.set()
        assert await asyncio.wait_for(answers[b"id: 1\n\n"].read(), 30) == BYE
        await asyncio.wait_for(upstream.left.wait(), 30)
        upstream.feed.put_nowait(b"\n")
        assert await asyncio.wait_for(answers[b"id: 2\n"].read(), 30) == b"\n" + BYE
