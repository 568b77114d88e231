"""What every container backend must do. A subclass gives `backend` and `second`, on the same state.

The program inside is `resident.py`; a container's environment says how it behaves.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chassis.ids import new_id
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerSpec,
    ContainerState,
    Identity,
    Limits,
)
from executor_manager.containers.errors import BackendError, Missing, Running


def spec(*, limits: Limits | None = None, **environment: str) -> ContainerSpec:
    identity = Identity(worker_id=new_id(), session_id=new_id(), project_id=new_id(), epoch=3)
    return ContainerSpec(identity=identity, environment=environment, limits=limits or Limits())


async def eventually(seen: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            found = seen()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def started(backend: ContainerBackend, wanted: ContainerSpec) -> Container:
    container = await backend.adopt_or_create(wanted)
    await backend.start(container.name)
    # the resident's last act of starting up
    await eventually((container.directories.spool / "resident").exists)
    return await backend.get(container.name) or container


def told(container: Container) -> dict[str, str]:
    lines = (container.directories.spool / "resident").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


class BackendContract:
    async def test_created__has_its_directories_and_identity(
        self, backend: ContainerBackend
    ) -> None:
        wanted = spec()
        container = await backend.adopt_or_create(wanted)
        assert container.state is ContainerState.CREATED
        assert container.identity == wanted.identity
        assert str(wanted.identity.session_id) in container.name
        made = container.directories
        for path in (made.workspace, made.spool, made.control, made.agent):
            assert path.is_dir()
        assert len(bytes(backend.address(container))) <= 107

    async def test_created_twice__is_one(
        self, backend: ContainerBackend, second: ContainerBackend
    ) -> None:
        wanted = spec()
        container = await started(backend, wanted)
        assert await second.adopt_or_create(wanted) == container
        assert len((await second.list()).containers) == 1

    async def test_started_twice__is_one_tree(
        self, backend: ContainerBackend, second: ContainerBackend
    ) -> None:
        container = await backend.adopt_or_create(spec())
        name = container.name
        states = await asyncio.gather(backend.start(name), second.start(name), second.start(name))
        assert {one.state for one in states} == {ContainerState.RUNNING}
        await eventually((container.directories.spool / "resident").exists)
        starts = (container.directories.spool / "starts").read_text()
        assert starts == "started\n"

    async def test_environment__is_what_was_given_and_nothing_of_ours(
        self, backend: ContainerBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BERTH_CONTROL_PLANE_KEY", "bsk_canary")
        container = await started(backend, spec(BERTH_LOG_LEVEL="debug"))
        seen = told(container)
        assert seen["BERTH_LOG_LEVEL"] == "debug"
        assert seen["BERTH_WORKER_ID"] == str(container.identity.worker_id)
        assert seen["BERTH_EPOCH"] == "3"
        assert "BERTH_CONTROL_PLANE_KEY" not in seen

    async def test_adopted__by_another_manager_process(
        self, backend: ContainerBackend, second: ContainerBackend
    ) -> None:
        container = await started(backend, spec())
        found = await second.get(container.name)
        assert found == container
        assert (await second.stop(container.name, 5)).state is ContainerState.EXITED

    async def test_stopped__kindly_when_it_ends_by_itself(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec())
        stopped = await backend.stop(container.name, 60)
        assert (stopped.state, stopped.exit_code) == (ContainerState.EXITED, 0)
        assert stopped.tree_gone
        assert stopped.stopped_at is not None

    async def test_stopped__by_force_with_all_that_it_left_behind(
        self, backend: ContainerBackend
    ) -> None:
        container = await started(backend, spec(TEST_DEAF="1", TEST_DAEMONS="5"))

        async def all_there() -> bool:
            return (await backend.stats(container.name)).processes >= 6

        await eventually(all_there)
        before = time.monotonic()
        stopped = await backend.stop(container.name, 0.2)
        assert time.monotonic() - before < 18  # less than a container's own grace, which is 20
        assert stopped.tree_gone
        assert stopped.exit_code == -9
        self.assert_none_left(container)

    async def test_ended_by_itself__takes_its_daemons_with_it(
        self, backend: ContainerBackend
    ) -> None:
        container = await started(backend, spec(TEST_DAEMONS="3", TEST_ENDS="7"))
        (container.directories.spool / "end").touch()

        async def exited() -> bool:
            return (found := await backend.get(container.name)) is not None and found.tree_gone

        await eventually(exited)
        found = await backend.get(container.name)
        assert found is not None
        assert (found.state, found.exit_code) == (ContainerState.EXITED, 7)
        self.assert_none_left(container)

    async def test_started_again__keeps_its_directories(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec())
        (container.directories.workspace / "kept").write_text("x")
        await backend.stop(container.name, 5)
        again = await backend.start(container.name)
        assert again.state is ContainerState.RUNNING
        assert (container.directories.workspace / "kept").read_text() == "x"

    async def test_paused__does_nothing_and_goes_on(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec(TEST_TICKS="1"))
        ticks = container.directories.spool / "ticks"
        await eventually(lambda: ticks.exists() and ticks.stat().st_size > 0)
        paused = await backend.pause(container.name)
        assert paused.state is ContainerState.PAUSED
        size = ticks.stat().st_size
        await asyncio.sleep(0.2)  # the absence of a change has no event
        assert ticks.stat().st_size <= size + 1
        assert (await backend.resume(container.name)).state is ContainerState.RUNNING
        await eventually(lambda: ticks.stat().st_size > size + 2)

    async def test_paused__can_be_stopped(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec())
        await backend.pause(container.name)
        assert (await backend.stop(container.name, 60)).exit_code == 0

    async def test_bound__only_where_some_are_kept_warm(self, backend: ContainerBackend) -> None:
        wanted = spec()
        with pytest.raises(Missing if backend.keeps_warm else BackendError):
            await backend.bind(Identity.warm(new_id()).name, wanted.identity)
        assert await backend.get(wanted.identity.name) is None

    async def test_removed__with_everything_and_only_when_it_stands(
        self, backend: ContainerBackend
    ) -> None:
        container = await started(backend, spec())
        with pytest.raises(Running):
            await backend.remove(container.name)
        await backend.stop(container.name, 5)
        await backend.remove(container.name)
        await backend.remove(container.name)
        assert await backend.get(container.name) is None
        assert not container.directories.workspace.exists()
        assert (await backend.list()).containers == []

    async def test_an_unknown_name__is_missing(self, backend: ContainerBackend) -> None:
        for call in (backend.start, backend.stats, backend.pause):
            with pytest.raises(Missing):
                await call("berth-unknown-1")
        assert await backend.get("berth-unknown-1") is None

    async def test_logs__are_its_output(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec())

        async def logged() -> bool:  # the engine takes its output from a pipe
            return b"resident is up" in await backend.logs(container.name)

        await eventually(logged)

    async def test_capabilities__say_what_is_not_isolated(self, backend: ContainerBackend) -> None:
        promises = backend.capabilities
        if not (promises.own_network and promises.own_filesystem and promises.own_processes):
            assert promises.not_isolated

    def assert_none_left(self, container: Container) -> None:
        """No process of it, wherever it was re-parented to."""
        marker = f"TEST_MARK={container.identity.worker_id}".encode()
        left: list[str] = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (path / "environ").read_bytes().split(b"\0"):
                    left.append(path.name)
            except OSError:
                continue
        assert left == []
