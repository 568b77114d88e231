"""A real scripted agent, driven through the runner over real pipes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.executor.agents.driven import Berth


@pytest.fixture
def berth(tmp_path: Path) -> Berth:
    return Berth(tmp_path)


@pytest.fixture
def another_berth(tmp_path: Path) -> Callable[[], Berth]:
    return lambda: Berth(tmp_path / "another")
