"""The docker backend when containers are lost, end, and are removed: also by somebody else."""

import asyncio
from pathlib import Path

import pytest

from chassis import failpoints
from chassis.failpoints import FailpointReached
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.errors import StartFailed
from tests.executor_manager.containers.contract import eventually, spec, started
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_a_container_that_the_engine_lost__is_made_again_over_its_directories(
    backend: DockerBackend, engine: RealEngine
) -> None:
    container = await started(backend, spec(BERTH_LOG_LEVEL="debug"))
    (container.directories.workspace / "kept").write_text("x")
    lost = await asyncio.to_thread(engine.client.containers.get, container.name)
    await asyncio.to_thread(lost.remove, force=True)
    (listed,) = (await backend.list()).containers
    assert (listed.state, listed.tree_gone) == (ContainerState.EXITED, True)
    assert listed == await backend.get(container.name)
    assert (await backend.stop(container.name, 1)).state is ContainerState.EXITED
    (container.directories.spool / "resident").unlink()
    assert (await backend.start(container.name)).state is ContainerState.RUNNING
    await eventually((container.directories.spool / "resident").exists)
    assert "BERTH_LOG_LEVEL=debug" in (container.directories.spool / "resident").read_text()
    assert (container.directories.workspace / "kept").read_text() == "x"


async def test_lost_while_its_process_still_answers__is_not_proven_gone(
    backend: DockerBackend,
) -> None:
    container = await backend.adopt_or_create(spec())
    (container.directories.spool / "spool.json").touch()
    engine_id = backend._changes.ids.pop(container.name)
    await asyncio.to_thread(backend._engine.remove, engine_id)
    server = await asyncio.start_unix_server(
        lambda _reader, writer: writer.close(), backend.address(container)
    )
    async with server:
        found = await backend.get(container.name)
        assert found is not None
        assert (found.state, found.tree_gone) == (ContainerState.EXITED, False)
        with pytest.raises(StartFailed):
            await backend.start(container.name)
    found = await backend.get(container.name)
    assert found is not None
    assert found.tree_gone


async def test_never_started_and_lost__has_nothing_to_save(backend: DockerBackend) -> None:
    container = await backend.adopt_or_create(spec())
    await asyncio.to_thread(backend._engine.remove, backend._changes.ids[container.name])
    (listed,) = (await backend.list()).containers
    assert listed.state is ContainerState.CREATED
    assert (await backend.start(container.name)).state is ContainerState.RUNNING


async def test_lost_and_made_again_but_not_started__still_has_something_to_save(
    backend: DockerBackend, second: DockerBackend
) -> None:
    wanted = spec()
    container = await started(backend, wanted)
    found = await asyncio.to_thread(backend._view.known, container.name)
    await backend.stop(container.name, 5)
    await asyncio.to_thread(backend._engine.remove, str(found.id))

    def break_off(_: str) -> None:
        raise FailpointReached("before the start")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend._engine, "start", break_off)
        with pytest.raises(FailpointReached):
            await backend.start(container.name)
    (listed,) = (await second.list()).containers
    # as never started it would count as one with nothing to save, and be removed
    assert (listed.state, listed.tree_gone) == (ContainerState.EXITED, True)
    assert listed == await second.get(container.name)
    assert await second.adopt_or_create(wanted) == listed
    assert (await second.start(container.name)).state is ContainerState.RUNNING


async def test_list__asks_for_an_end_once_and_again_after_the_next_start(
    backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = await started(backend, spec(TEST_ENDS="7"))
    asked: list[str] = []
    inspect = backend._engine.inspect

    def counted(name: str) -> object:
        asked.append(name)
        return inspect(name)

    await backend.stop(container.name, 60)
    monkeypatch.setattr(backend._engine, "inspect", counted)
    codes = [(await backend.list()).containers[0].exit_code for _ in range(3)]
    assert (codes, len(asked)) == ([0, 0, 0], 1)
    await backend.start(container.name)
    (container.directories.spool / "end").touch()

    async def ended_with_seven() -> bool:
        return (await backend.list()).containers[0].exit_code == 7

    await eventually(ended_with_seven)


async def test_removed_by_somebody_at_the_same_time__is_gone(
    backend: DockerBackend, second: DockerBackend
) -> None:
    container = await started(backend, spec())
    await backend.stop(container.name, 5)
    await asyncio.gather(*(one.remove(container.name) for one in (backend, second, backend)))
    assert await backend.get(container.name) is None
    assert not container.directories.workspace.exists()
    assert not container.directories.control.exists()


async def test_removal_broken_off_after_the_container__goes_on(
    backend: DockerBackend, short_dir: Path
) -> None:
    container = await started(backend, spec())
    await backend.stop(container.name, 5)

    def break_off() -> None:
        raise FailpointReached("docker.after_remove")

    failpoints.arm("docker.after_remove", break_off)
    try:
        with pytest.raises(FailpointReached):
            await backend.remove(container.name)
    finally:
        failpoints.disarm_all()
    assert [one.name for one in (await backend.list()).containers] == [container.name]
    await backend.remove(container.name)
    folders = ("s/workers", "s/trash", "k/trash")
    assert [path for folder in folders for path in (short_dir / folder).iterdir()] == []
    assert sorted(path.name for path in (short_dir / "k").iterdir()) == ["trash"]
