"""The command against one real stack for all of these tests, in one xdist worker."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fixtures.commands import Up, fresh_home, running_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"up", "home"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.xdist_group("cli"))


@pytest.fixture(scope="session")
def up() -> Generator[Up]:
    with running_up() as running:
        yield running


@pytest.fixture
def home() -> Generator[Path]:
    """A state directory in which nothing runs."""
    with fresh_home() as path:
        yield path
