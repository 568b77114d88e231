"""What the executor's tests share: short directories, what lies outside, a store of their own."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.failpoints import disarm_all
from chassis.objects import ObjectStore
from executor.relay import Relay
from tests.executor.outside import Outside, outside_at
from tests.fixtures.object_store import object_store, object_store_server

__all__ = ["object_store", "object_store_server"]


@pytest.fixture
def place() -> Generator[Path]:
    """Short: a socket's path ends at 107 bytes. With the executor's four directories."""
    path = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    for name in ("workspace", "spool", "control", "home"):
        (path / name).mkdir(mode=0o700)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True)
def failpoints() -> Generator[None]:
    yield
    disarm_all()


@pytest.fixture
async def outside(place: Path, object_store: ObjectStore) -> AsyncGenerator[Outside]:
    async with outside_at(place / "control", Outside(object_store, f"t/{uuid4().hex}")) as known:
        yield known


@pytest.fixture
async def relay(place: Path, outside: Outside) -> AsyncGenerator[Relay]:
    relay = Relay(place / "control", str(uuid4()))
    yield relay
    await relay.aclose()
