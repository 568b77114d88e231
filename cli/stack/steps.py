"""The steps of a start and a stop, each told with its name and how long it took."""

import contextlib
import time
from collections.abc import Generator
from typing import Protocol


class Reporter(Protocol):
    """Where the stack tells what it does."""

    def done(self, step: str, seconds: float, detail: str) -> None: ...

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


class Step:
    def __init__(self) -> None:
        self.detail = ""


@contextlib.contextmanager
def step(reporter: Reporter, name: str) -> Generator[Step]:
    """An error passes through untold: it says itself what went wrong."""
    began = time.monotonic()
    current = Step()
    yield current
    reporter.done(name, time.monotonic() - began, current.detail)
