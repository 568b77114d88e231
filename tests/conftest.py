"""What every test may ask for."""

import signal

import pytest

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.object_store",
    "tests.fixtures.office",
    "tests.fixtures.control_plane",
    "tests.fixtures.engine",
    "tests.fixtures.strict",
]


def pytest_configure() -> None:
    """A run in a shell's background ignores SIGINT, and so would every process that a test ends."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those first that run one after the other: beside them the others keep the machine busy."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
