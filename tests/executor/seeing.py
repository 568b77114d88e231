"""Viewers of an executor's terminals, and what their tests share."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from chassis.dialling import Refused
from contracts.errors import Problem
from contracts.terminals import EXECUTOR_TTY
from executor.agents import keeper
from tests.executor.outside import Outside
from tests.executor.running import Running, running
from tests.fixtures.viewer import Watching, watching

See = Callable[..., AbstractAsyncContextManager[Watching]]
MIB = 1024 * 1024


@pytest.fixture
async def executor(place: Path, outside: Outside) -> AsyncGenerator[Running]:
    async with running(place, outside) as known:
        yield known


@pytest.fixture
def see(place: Path) -> See:
    socket = str(place / "control" / "executor.sock")

    def make(mode: str = "write", **query: object) -> AbstractAsyncContextManager[Watching]:
        fields = "&".join(f"{name}={value}" for name, value in {"mode": mode, **query}.items())
        return watching(f"http://x{EXECUTOR_TTY}?{fields}", uds=socket)

    return make


def code_of(refused: pytest.ExceptionInfo[Refused]) -> str:
    return msgspec.json.decode(refused.value.body, type=Problem).code


def named(name: str) -> list[int]:
    """Below this process."""
    return [pid for pid in keeper.descendants(os.getpid()) if _name(pid) == name]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
