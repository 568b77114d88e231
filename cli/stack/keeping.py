"""Keeps a part running: one that ended is started again, later each time, and it is said.

A file `run/<part>.hold` in the state directory makes us leave that part alone until it is gone.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cli.embedded.errors import EmbeddedError
from cli.embedded.processes import ServiceProcess
from cli.stack.steps import Reporter

_FIRST_DELAY = 0.25
_LONGEST_DELAY = 30.0
_STABLE_AFTER = 60.0
"""Seconds; who ran for so long is restarted at once again."""
_LOOK_EVERY = 0.1


class Part(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def process(self) -> ServiceProcess: ...
    @property
    def address(self) -> str: ...
    @property
    def stop_within(self) -> float: ...
    async def start(self) -> object: ...
    async def stop(self, *, deadline: float) -> bool: ...


def hold_file(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.hold"


async def keep(
    part: Part, *, home: Path, reporter: Reporter, moved: Callable[[Part], None]
) -> None:
    """Until cancelled. `moved` is called when the part came back at another address."""
    failures = 0
    while True:
        began = time.monotonic()
        code = await part.process.wait()
        failures = 0 if time.monotonic() - began > _STABLE_AFTER else failures + 1
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(max(0, failures - 1), 20))
        if code is not None:
            reporter.warn(f"{part.name} {ended_how(code)}; it is started again in {delay:g} s")
        await asyncio.sleep(delay)
        await _released(hold_file(home, part.name))
        await _start_again(part, reporter, moved)


async def _start_again(part: Part, reporter: Reporter, moved: Callable[[Part], None]) -> None:
    former = part.address
    try:
        await part.start()
    except EmbeddedError as error:
        reporter.warn(str(error))
        return
    reporter.say(f"{part.name} is back")
    if part.address != former:
        moved(part)


async def _released(hold: Path) -> None:
    while hold.exists():  # noqa: ASYNC110, ASYNC240 - another process removes it; one stat
        await asyncio.sleep(_LOOK_EVERY)


def ended_how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
