import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from executor.workspace.resting import TICK_NS, Resting


@pytest.fixture
def handle(place: Path) -> Generator[int]:
    (place / "f").write_bytes(b"a")
    handle = os.open(place / "f", os.O_RDONLY)
    yield handle
    os.close(handle)


def test_seen__waits_for_the_tick_of_the_last_write(handle: int) -> None:
    status = Resting().seen(os.fstat(handle), handle)
    assert status is not None
    assert time.time_ns() - status.st_ctime_ns >= TICK_NS


def test_seen__takes_the_file_as_it_is_after_the_wait(
    place: Path, handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written while it is waited for, and rests when that is over."""
    before = os.fstat(handle)
    now = [before.st_ctime_ns]

    def written(_: float) -> None:
        (place / "f").write_bytes(b"more")
        now[0] = os.fstat(handle).st_ctime_ns + TICK_NS

    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    monkeypatch.setattr(time, "sleep", written)
    status = Resting().seen(before, handle)
    assert status is not None
    assert status.st_size == 4


def test_seen__out_of_patience(handle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = os.fstat(handle).st_ctime_ns + 1
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    assert Resting(patience_ns=0).seen(os.fstat(handle), handle) is None
