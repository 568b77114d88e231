"""What every test may ask for."""

import signal

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
