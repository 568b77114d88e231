"""A download ends: with its last piece, or with its time."""

from collections.abc import AsyncGenerator

import pytest

from chassis.errors import BerthError
from contracts.errors import Code
from control_plane.services import transfers


async def test_timed__ends_with_its_time_and_closes_what_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[bool] = []

    async def made() -> AsyncGenerator[bytes]:
        try:
            for _ in range(3):
                yield b"piece"
        finally:
            closed.append(True)

    assert [piece async for piece in transfers.timed(made())] == [b"piece"] * 3
    monkeypatch.setattr(transfers, "TRANSFER_SECONDS", -1.0)
    pieces = transfers.timed(made())
    assert await anext(pieces) == b"piece"
    with pytest.raises(BerthError) as refused:
        await anext(pieces)
    assert (refused.value.code, closed) == (Code.UPSTREAM_TIMEOUT, [True, True])
