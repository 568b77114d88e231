"""What the manager's tests share: short directories, a relay as a real process, an upstream."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.executor_manager.relays import Relay, Upstream


@pytest.fixture
def short_dir() -> Generator[Path]:
    """A socket's path ends at 107 bytes, and pytest's own directories are long."""
    path = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def relay(short_dir: Path) -> AsyncGenerator[Relay]:
    async with Relay(short_dir / "relay") as relay:
        yield relay
