"""Named places where a test may break the process; each is a no-op until armed.

Armed in-process with `arm(name, action)`, or by the setting `failpoints`, read by `arm_from`:
`name=kill9` (SIGKILL to itself), `name=raise`, `name=hold:PATH` (waits there until somebody makes
that file); `;` between.
"""

import asyncio
import inspect
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

Action = Callable[[], Awaitable[None] | None]

_LOOK_SECONDS = 0.01

_armed: dict[str, Action] = {}
_hits: Counter[str] = Counter()


class FailpointReached(Exception):
    """What `name=raise` raises."""


@dataclass(frozen=True, slots=True)
class _Hold:
    path: Path

    async def __call__(self) -> None:
        while not self.ends():  # noqa: ASYNC110  # it is made by another process
            await asyncio.sleep(_LOOK_SECONDS)

    def ends(self) -> bool:
        return self.path.exists()


async def failpoint(name: str) -> None:
    action = _take(name)
    if action is not None:
        result = action()
        if inspect.isawaitable(result):
            await result


def failpoint_sync(name: str) -> None:
    """For threads and signal-free code: an asynchronous action is an error here, a hold blocks."""
    action = _take(name)
    if action is None:
        return
    if isinstance(action, _Hold):
        while not action.ends():
            time.sleep(_LOOK_SECONDS)
    elif action() is not None:
        raise TypeError(f"the failpoint {name} is synchronous and cannot await its action")


def arm(name: str, action: Action) -> None:
    _armed[name] = action


def arm_from(text: str) -> None:
    """Raises ValueError that names the part it cannot read."""
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, action = part.partition("=")
        arm(name.strip(), _parse(part, action.strip()))


def disarm_all() -> None:
    _armed.clear()
    _hits.clear()


def hits(name: str) -> int:
    """How often an armed failpoint was reached since `disarm_all`."""
    return _hits[name]


def _take(name: str) -> Action | None:
    action = _armed.get(name)
    if action is not None:
        _hits[name] += 1
    return action


def _parse(part: str, action: str) -> Action:
    if action == "kill9":
        return partial(os.kill, os.getpid(), signal.SIGKILL)
    if action == "raise":
        return partial(_raise, part.partition("=")[0].strip())
    kind, _, path = action.partition(":")
    if kind != "hold" or not path:
        raise ValueError(f"failpoint {part!r}: the action is kill9, raise or hold:<path>")
    return _Hold(Path(path))


def _raise(name: str) -> None:
    raise FailpointReached(name)
