"""A tar as a stream, in pieces of any size."""

from collections.abc import AsyncGenerator

import pytest

from chassis.errors import BerthError
from contracts.errors import Code
from control_plane.services import tars
from control_plane.services.tars import TarReader

MEMBERS = {"a": b"1", "b": b"", "c": bytes(range(256)) * 3}
TAR = b"".join(tars.whole(name, content) for name, content in MEMBERS.items()) + tars.END


async def pieces(content: bytes, size: int) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(content: bytes, size: int = 1000, limit: int = 10_000) -> dict[str, bytes]:
    reader = TarReader(pieces(content, size), limit=limit)
    found: dict[str, bytes] = {}
    while (member := await reader.next()) is not None:
        name, length = member
        found[name] = await reader.content(length, most=1000, name=name)
    return found


@pytest.mark.parametrize("size", [1, 511, 512, 10_000])
async def test_reads__what_was_written(size: int) -> None:
    assert await read(TAR, size) == MEMBERS


async def test_refuses__more_than_it_may_be() -> None:
    with pytest.raises(BerthError) as refused:
        await read(TAR, limit=len(TAR) // 2)
    assert refused.value.code is Code.TOO_LARGE
    with pytest.raises(BerthError) as refused:
        await read(tars.whole("a", bytes(1001)) + tars.END)
    assert refused.value.code is Code.TOO_LARGE


async def test_refuses__what_is_no_tar() -> None:
    for wrong in (b"", b"x" * 2000, TAR[:-1025], TAR + b"x", TAR[:513] + b"x" + TAR[514:]):
        with pytest.raises(BerthError) as refused:
            await read(wrong)
        assert refused.value.code is Code.VALIDATION, wrong[:20]


async def test_zeros_without_end__are_not_read() -> None:
    async def zeros() -> AsyncGenerator[bytes]:
        yield TAR
        while True:
            yield bytes(100_000)

    reader = TarReader(zeros(), limit=10**12)
    for name in MEMBERS:
        found = await reader.next()
        assert found is not None
        await reader.content(found[1], most=1000, name=name)
    with pytest.raises(BerthError):
        await reader.next()
