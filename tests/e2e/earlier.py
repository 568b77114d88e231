"""One run at a time on a machine, and what those left that were killed before they tidied up.

The two hosts, their addresses and the store's port are the machine's: a dead run's containers,
which the engine starts again, would be in the way of every later one.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from docker.models.containers import Container

from tests.e2e.engine import Engine, spelled, threaded
from tests.e2e.hosts import HOMES, HOMES_PREFIX, take_down
from tests.e2e.stack import PREFIX, PROJECT_LABEL

LOCK = Path("/var/tmp/berth-e2e.lock")
WAIT_SECONDS = 3600.0
"""For another run: longer than one takes."""

Say = Callable[[str], None]


@contextlib.asynccontextmanager
async def alone(engine: Engine, say: Say) -> AsyncGenerator[None]:
    """With the engine and the machine as if there had never been a run. Raises TimeoutError."""
    async with held(LOCK, say):
        await _tidy_up(engine, say)
        yield


@contextlib.asynccontextmanager
async def held(lock: Path, say: Say, *, within: float = WAIT_SECONDS) -> AsyncGenerator[None]:
    """The kernel lets go of it with the process. Raises TimeoutError."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        ends, told = time.monotonic() + within, False
        while not _taken(descriptor):
            if time.monotonic() > ends:
                raise TimeoutError(f"another run holds {lock} for {within:g} s")
            if not told:
                say(f"another run is under way (it holds {lock}): waiting for it")
            told = True
            await asyncio.sleep(1)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _tidy_up(engine: Engine, say: Say) -> None:
    """Whoever holds the lock: whatever is found is a dead run's."""
    for home in sorted(HOMES.glob(f"{HOMES_PREFIX}*")):
        say(f"an earlier run left its two hosts in {home}: taking them down")
        await take_down(home)
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    services = [one for one in await engine.containers(PROJECT_LABEL) if _project(one.labels)]
    # the managers first: they would make their sessions anew
    for container in sorted(services, key=lambda one: "manager" not in (one.name or "")):
        await _remove(container, say)
    for container in await engine.sessions():
        if f"/{PREFIX}" in spelled(await engine.inspect(container)):  # a directory on its volumes
            await _remove(container, say)
    for kind in (engine.client.networks, engine.client.volumes):
        for one in await threaded(kind.list, filters={"label": PROJECT_LABEL}):
            if _project(one.attrs.get("Labels") or {}):
                say(f"an earlier run left {one.name}: removing it")
                await threaded(one.remove)


def _project(labels: dict[str, str]) -> bool:
    return labels.get(PROJECT_LABEL, "").startswith(PREFIX)


async def _remove(container: Container, say: Say) -> None:
    say(f"an earlier run left {container.name}: removing it")
    await asyncio.to_thread(container.remove, force=True, v=True)
