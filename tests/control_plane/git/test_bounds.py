"""How much passes, how fast and for how long; what is cut looks cut."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from tests.control_plane.git.spoilt import SpoiltHost
from tests.control_plane.git.working import SPOILT, Worker, repository
from tests.fixtures.deadlines import eventually

MIB = 1024 * 1024
ASKS = {"content-type": "application/x-git-upload-pack-request"}
REFS = "info/refs?service=git-upload-pack"


@pytest.fixture
async def open_worker(worker: Worker, spoilt: SpoiltHost) -> Worker:
    """It may read all of the spoilt host."""
    ways = ("floods", "halves", "silent", "swallows", "echoes")
    await worker.grant(*(repository(f"{way}/*", host=SPOILT) for way in ways))
    return worker


async def test_answer__goes_no_faster_than_it_is_read(
    open_worker: Worker, spoilt: SpoiltHost
) -> None:
    async with open_worker.http.stream("GET", f"/{SPOILT}/floods/a/{REFS}") as answer:
        assert answer.status_code == 200
        parts = answer.aiter_raw()
        assert await anext(parts)
        sent = -1

        async def stands_still() -> bool:
            nonlocal sent
            before, sent = sent, spoilt.sent
            return before == sent > 0

        await eventually(stands_still, "the host waits")
        assert sent < 32 * MIB
    await asyncio.wait_for(spoilt.left.wait(), 20)


async def test_answer__that_has_no_end_is_cut(open_worker: Worker, spoilt: SpoiltHost) -> None:
    sizes: list[int] = []

    async def read() -> None:
        async with open_worker.http.stream("GET", f"/{SPOILT}/floods/a/{REFS}") as answer:
            sizes.extend([len(part) async for part in answer.aiter_raw()])

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    assert spoilt.sent < 160 * MIB


async def test_answer__that_the_host_cut_is_no_whole_one(open_worker: Worker) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await open_worker.http.get(f"/{SPOILT}/halves/a/{REFS}")


async def test_body__goes_no_faster_than_the_host_takes_it(
    open_worker: Worker, spoilt: SpoiltHost
) -> None:
    given = 0

    async def parts() -> AsyncGenerator[bytes]:
        nonlocal given
        for _ in range(48 * 16):
            yield b"x" * (MIB // 16)
            given += MIB // 16

    posting = asyncio.create_task(
        open_worker.http.post(
            f"/{SPOILT}/swallows/a/git-upload-pack", content=parts(), headers=ASKS
        )
    )
    before = -1

    async def stands_still() -> bool:
        nonlocal before
        former, before = before, given
        return former == given > 0

    await eventually(stands_still, "whoever sends waits")
    assert given < 32 * MIB
    spoilt.go_on.set()
    answer = await asyncio.wait_for(posting, 30)
    assert (answer.status_code, answer.content) == (200, b"0000")
    assert spoilt.taken > 48 * MIB


async def test_body__that_is_too_large(open_worker: Worker, spoilt: SpoiltHost) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(65):
            yield b"x" * MIB

    spoilt.go_on.set()
    answer = await open_worker.http.post(
        f"/{SPOILT}/swallows/a/git-upload-pack", content=parts(), headers=ASKS
    )
    assert answer.status_code == 413, answer.text


async def test_caller__that_leaves_ends_it(open_worker: Worker, spoilt: SpoiltHost) -> None:
    asking = asyncio.create_task(open_worker.http.get(f"/{SPOILT}/silent/a/{REFS}"))

    async def asked() -> bool:
        return bool(spoilt.seen)

    await eventually(asked, "the host is asked")
    asking.cancel()
    await asyncio.wait_for(spoilt.left.wait(), 30)
