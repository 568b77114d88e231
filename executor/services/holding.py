"""An agent that stands still while its files are read."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from chassis.logs import get_logger

HOLD_SECONDS = 5.0
"""A tree that takes longer to read is read beside the working agent."""

_log = get_logger()


class Agent(Protocol):
    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Beside(Agent, Protocol):
    """Others that may write into the workspace, also when no agent runs."""

    @property
    def present(self) -> bool: ...


class _Nobody:
    present = False

    def pause(self) -> None:
        return

    def resume(self) -> None:
        return


NOBODY: Beside = _Nobody()


@contextmanager
def held(agent: Agent) -> Generator[Callable[[], None]]:
    """Gives what lets the agent go on before the block ends; it goes on after `HOLD_SECONDS`."""

    def release() -> None:
        timer.cancel()
        agent.resume()

    def give_up() -> None:
        _log.warning("read_beside_the_agent", after_seconds=HOLD_SECONDS)
        agent.resume()

    timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, give_up)
    try:
        agent.pause()
        yield release
    finally:
        release()
