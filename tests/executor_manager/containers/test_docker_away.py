"""The docker backend while its engine hangs, is away, and comes back: on one of ours."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from chassis.ids import new_id
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.docker_backend import MARGIN_SECONDS, DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_engine import START_SECONDS
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.errors import BackendError, Timeout, Unreachable
from tests.executor_manager.containers.contract import eventually, spec, started
from tests.fixtures.engine import PrivateEngine, RealEngine, private_engine

pytestmark = [pytest.mark.docker, pytest.mark.root]

CALL_SECONDS = 1.0
PATIENT_SECONDS = 60.0
TURN_SECONDS = 0.01
LONGEST_GAP = 50
"""Turns of a thread, of a loop that nothing blocks."""


@pytest.fixture(scope="module")
async def own_engine(engine: RealEngine, resident_image: str) -> AsyncGenerator[PrivateEngine]:
    async with private_engine(engine, resident_image) as private:
        yield private


@pytest.fixture
async def backend(
    own_engine: PrivateEngine, resident_image: str, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    site = DockerSite(
        host=own_engine.host,
        call_seconds=PATIENT_SECONDS,
        volumes=Volumes(short_dir / "s", short_dir / "k"),
    )
    backend = DockerBackend(site, DockerOptions(manager_id=new_id(), image=resident_image))
    await backend.open()
    yield backend
    for container in (await backend.list()).containers:
        await backend.stop(container.name, 0)
        await backend.remove(container.name)
    await backend.close()


async def test_a_create_given_up_that_is_still_under_way__is_waited_for(
    backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine keeps the name from its beginning, and shows the container at its end."""
    wanted = spec()
    await backend.adopt_or_create(wanted)
    with monkeypatch.context() as patch:
        patch.setattr(backend._engine, "inspect", lambda _: None)
        with pytest.raises(Timeout):
            await backend.adopt_or_create(wanted)
    assert (await backend.adopt_or_create(wanted)).state is ContainerState.CREATED


class Pace:
    """A thread that takes turns: they stand still with this process, and are as slow as it is."""

    def __init__(self) -> None:
        self.turns = 0
        self.longest = 0
        """For so many the event loop did not come round."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    async def __aenter__(self) -> Self:
        self._thread.start()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.cancel()
        await asyncio.to_thread(self._thread.join)

    def seconds_since(self, turn: int) -> float:
        return (self.turns - turn) * TURN_SECONDS

    def _run(self) -> None:
        while not self._ended.wait(TURN_SECONDS):
            self.turns += 1

    async def _watch(self) -> None:
        last = self.turns
        while True:
            await asyncio.sleep(TURN_SECONDS)
            now = self.turns
            self.longest, last = max(self.longest, now - last), now


@contextmanager
def hasty(backend: DockerBackend) -> Generator[None]:
    """Its calls end soon, which in those that are to succeed they must not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_call", CALL_SECONDS + MARGIN_SECONDS)
        patch.setattr(backend._engine, "_call_seconds", CALL_SECONDS)
        for longer, client in backend._engine._clients.items():
            patch.setattr(client, "timeout", CALL_SECONDS + longer)
        yield


async def test_an_engine_that_hangs__costs_a_deadline_and_nothing_else(
    backend: DockerBackend, own_engine: PrivateEngine
) -> None:
    wanted = spec()
    container = await started(backend, wanted)
    name = container.name
    calls: dict[str, tuple[Callable[[], Any], float]] = {
        "list": (backend.list, CALL_SECONDS),
        "get": (lambda: backend.get(name), CALL_SECONDS),
        "stats": (lambda: backend.stats(name), 2 * CALL_SECONDS),
        "logs": (lambda: backend.logs(name), 2 * CALL_SECONDS),
        "pause": (lambda: backend.pause(name), 3 * CALL_SECONDS),
        "stop": (lambda: backend.stop(name, 1), 1 + 3 * CALL_SECONDS),
        "create": (lambda: backend.adopt_or_create(spec()), 3 * CALL_SECONDS),
        "start": (lambda: backend.start(name), START_SECONDS + 3 * CALL_SECONDS),
    }
    own_engine.signal(signal.SIGSTOP)
    try:
        with hasty(backend):
            async with Pace() as pace:
                for what, (call, deadline) in calls.items():
                    begun = pace.turns
                    with pytest.raises(Timeout):
                        await call()
                    assert pace.seconds_since(begun) < deadline + 4 * MARGIN_SECONDS, what
                # more at once than there are threads: each still ends by its deadline
                begun = pace.turns
                gets = (backend.get(name) for _ in range(40))
                many = await asyncio.gather(*gets, return_exceptions=True)
                assert {type(one) for one in many} == {Timeout}
                assert pace.seconds_since(begun) < CALL_SECONDS + 3 * MARGIN_SECONDS
    finally:
        own_engine.signal(signal.SIGCONT)
    assert pace.longest < LONGEST_GAP

    async def answers() -> bool:
        try:
            return name in [one.name for one in (await backend.list()).containers]
        except BackendError:
            return False

    await eventually(answers)
    assert (await backend.get(name) or container).identity == container.identity


async def test_an_engine_that_restarts__is_away_and_its_containers_can_start_again(
    backend: DockerBackend, own_engine: PrivateEngine
) -> None:
    container = await started(backend, spec())
    await own_engine.stop()
    for call in (backend.list, lambda: backend.get(container.name)):
        with pytest.raises(Unreachable):
            await call()
    await own_engine.start()
    (found,) = (await backend.list()).containers
    assert (found.state, found.tree_gone) == (ContainerState.EXITED, True)
    (container.directories.spool / "resident").unlink()
    assert (await backend.start(container.name)).state is ContainerState.RUNNING
    await eventually((container.directories.spool / "resident").exists)


async def test_an_engine_that_was_killed__finds_its_containers_again(
    backend: DockerBackend, own_engine: PrivateEngine
) -> None:
    container = await started(backend, spec())
    own_engine.signal(signal.SIGKILL)
    assert own_engine.process is not None
    await asyncio.to_thread(own_engine.process.wait, 10)
    with pytest.raises(Unreachable):
        await backend.adopt_or_create(spec())
    await own_engine.start()
    found = await backend.get(container.name)
    assert found is not None
    if found.state is ContainerState.EXITED:
        assert found.tree_gone
        found = await backend.start(container.name)
    assert found.state is ContainerState.RUNNING
