"""Disk limits of the docker backend on a real engine: what is full, what is kept, what is left."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from chassis.ids import new_id
from executor_manager.containers import docker_disks
from executor_manager.containers.backend import Container, ContainerState, Limits
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_disks import DiskOptions, DockerDisks, workspace_mount
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.errors import BackendError, NoSpace, StartFailed, Unreachable
from executor_manager.containers.places import Owner
from tests.executor_manager.containers.contract import spec, started
from tests.fixtures.deadlines import eventually
from tests.fixtures.engine import RealEngine, private_engine
from tests.fixtures.guards import perhaps_without, replaced
from tests.fixtures.small_disk import loop_devices_below, mounts_below
from tests.fixtures.volumes_helper import Helper, volumes_helper

pytestmark = [pytest.mark.docker, pytest.mark.root]

MIB = 1024 * 1024
SMALL = Limits(memory_bytes=256 * MIB, disk_bytes=32 * MIB, pids=64)
FILL = "head -c 64M /dev/zero > /workspace/filler"
FILES = "i=0; while :; do : > /workspace/f$i || exit 1; i=$((i+1)); done"


@pytest.fixture
async def helper(short_dir: Path) -> AsyncGenerator[Helper]:
    (short_dir / "s").mkdir()
    async with volumes_helper(short_dir / "s") as helper:
        yield helper


@pytest.fixture
def options(resident_image: str) -> DockerOptions:
    return DockerOptions(manager_id=new_id(), image=resident_image, log_mib=1)


def backend_at(host: str, place: Path, options: DockerOptions, **disks: Any) -> DockerBackend:
    volumes = Volumes(place / "s", place / "k")
    site = DockerSite(host=host, call_seconds=30.0, volumes=volumes)
    return DockerBackend(site, options, DiskOptions(**disks))


@pytest.fixture
async def backend(
    engine: RealEngine, options: DockerOptions, short_dir: Path, helper: Helper
) -> AsyncGenerator[DockerBackend]:
    backend = backend_at(engine.host, short_dir, options, helper=helper.socket, tmpfs_mib=16)
    await backend.open()
    yield backend
    await asyncio.to_thread(engine.remove_all, berth_manager=str(options.manager_id))
    await backend.close()
    await nothing_left(engine, options, short_dir)


async def nothing_left(engine: RealEngine, options: DockerOptions, place: Path) -> None:
    """V7 of these: no volume, no mount, no loop device."""
    label = {"label": f"berth.manager={options.manager_id}"}
    volumes = await asyncio.to_thread(engine.client.volumes.list, filters=label)
    assert [one.name for one in volumes] == []
    assert mounts_below(place) == []
    assert loop_devices_below(place) == []


async def inside(engine: RealEngine, container: Container, command: str) -> tuple[int, str]:
    """As the agent."""

    def run() -> tuple[int, str]:
        found = engine.client.containers.get(container.name)
        code, output = found.exec_run(["sh", "-c", command], user="10001:10001")
        return code, output.decode()

    return await asyncio.to_thread(run)


def test_capabilities__say_by_what(backend: DockerBackend) -> None:
    told = backend.capabilities
    assert (told.disk_limit, told.disk_means) == (True, "image")
    assert backend.disk_means(Limits()) is None
    assert backend.disk_means(SMALL) == "image"
    assert backend.disk_means(replace(SMALL, disk_bytes=16 * MIB)) == "tmpfs"


async def test_full_disk__is_its_own_sessions_alone(
    backend: DockerBackend, engine: RealEngine
) -> None:
    mine, theirs = (
        await started(backend, spec(limits=SMALL)),
        await started(backend, spec(limits=SMALL)),
    )
    code, said = await inside(engine, mine, FILL)
    assert code != 0
    assert "No space left on device" in said
    code, _ = await inside(engine, theirs, "echo kept > /workspace/kept && cat /workspace/kept")
    assert code == 0
    # what reports and saves is outside of the disk
    assert (mine.directories.spool / "resident").exists()
    code, _ = await inside(engine, mine, "rm /workspace/filler && echo on > /workspace/on")
    assert code == 0


async def test_many_files__end_at_the_disks_inodes(
    backend: DockerBackend, engine: RealEngine
) -> None:
    container = await started(backend, spec(limits=SMALL))
    code, said = await inside(engine, container, FILES)
    assert code != 0
    assert "No space left on device" in said
    _, counted = await inside(engine, container, "ls -f /workspace | wc -l")
    assert 1000 < int(counted) < 3000


async def test_stopped_and_started__keeps_it_and_leaves_nothing_between(
    backend: DockerBackend, engine: RealEngine, short_dir: Path
) -> None:
    container = await started(backend, spec(limits=SMALL))
    for number in range(3):
        code, said = await inside(engine, container, f"echo {number} >> /workspace/kept")
        assert code == 0, said
        assert len(loop_devices_below(short_dir)) == 1
        await backend.stop(container.name, 2)
        assert loop_devices_below(short_dir) == []
        await backend.start(container.name)
    assert (await inside(engine, container, "cat /workspace/kept"))[1].split() == ["0", "1", "2"]


async def test_removed__with_all_that_held_it(
    backend: DockerBackend, engine: RealEngine, options: DockerOptions, short_dir: Path
) -> None:
    container = await started(backend, spec(limits=SMALL))
    await inside(engine, container, FILL)
    await backend.stop(container.name, 2)
    await backend.remove(container.name)
    await nothing_left(engine, options, short_dir)
    assert not list((short_dir / "s" / "workers").iterdir())
    assert not list((short_dir / "s" / "trash").iterdir())


async def test_lost_by_the_engine__is_made_again_over_its_image(
    backend: DockerBackend, engine: RealEngine
) -> None:
    container = await started(backend, spec(limits=SMALL))
    await inside(engine, container, "echo kept > /workspace/kept")
    lost = await asyncio.to_thread(engine.client.containers.get, container.name)
    await asyncio.to_thread(lost.remove, force=True, v=True)
    assert (await backend.start(container.name)).state is ContainerState.RUNNING
    assert (await inside(engine, container, "cat /workspace/kept"))[1] == "kept\n"


async def test_another_manager__adopts_it_and_goes_on(
    backend: DockerBackend,
    engine: RealEngine,
    options: DockerOptions,
    short_dir: Path,
    helper: Helper,
) -> None:
    """And the helper too may have ended meanwhile: nothing that runs needs it."""
    container = await started(backend, spec(limits=SMALL))
    await inside(engine, container, "echo kept > /workspace/kept")
    await helper.end(signal.SIGKILL)
    assert (await inside(engine, container, "cat /workspace/kept"))[1] == "kept\n"
    second = backend_at(engine.host, short_dir, options, helper=helper.socket)
    with pytest.raises(Unreachable, match="does not answer"):
        await second.open()
    await second.stop(container.name, 2)
    with pytest.raises(Unreachable):
        await second.start(container.name)
    await helper.start()
    await second.open()
    assert (await second.start(container.name)).state is ContainerState.RUNNING
    assert (await inside(engine, container, "cat /workspace/kept"))[1] == "kept\n"
    await second.close()


@pytest.mark.parametrize("guarded", [True, False])
async def test_helper_killed_before_the_engine_mounted__nothing_runs_on_anothers_disk(
    backend: DockerBackend,
    engine: RealEngine,
    helper: Helper,
    monkeypatch: pytest.MonkeyPatch,
    *,
    guarded: bool,
) -> None:
    """Its device is free then, and the next one's that is asked for."""
    mine, theirs = [await backend.adopt_or_create(spec(limits=SMALL)) for _ in range(2)]
    loop, start = asyncio.get_running_loop(), backend._engine.start
    lent = DockerDisks(DiskOptions(helper=helper.socket))
    record = backend._places.record(theirs.name)
    with contextlib.ExitStack() as held:

        async def taken() -> None:
            await helper.end(signal.SIGKILL)
            await helper.start()
            await asyncio.to_thread(held.enter_context, lent.held(record))

        def late(container: str) -> None:
            asyncio.run_coroutine_threadsafe(taken(), loop).result(40)
            start(container)

        monkeypatch.setattr(backend._engine, "start", late)
        with perhaps_without(replaced(docker_disks, "_ended", lambda _: False), guarded=guarded):
            if guarded:
                with pytest.raises(Unreachable, match="ended while it lent a disk"):
                    await backend.start(mine.name)
            else:
                # the engine may also meet the device when it is nobody's
                with contextlib.suppress(StartFailed):
                    assert (await backend.start(mine.name)).state is ContainerState.RUNNING
        monkeypatch.undo()
    found = await backend.get(mine.name)
    assert found is not None
    assert found.state is not ContainerState.RUNNING or not guarded
    await backend.stop(mine.name, 0)
    assert (await backend.start(mine.name)).state is ContainerState.RUNNING
    assert (await inside(engine, mine, "echo kept > /workspace/kept"))[0] == 0


async def test_helper_killed_before_the_engine_mounted__its_failure_is_no_start_s(
    backend: DockerBackend, helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be mounted was gone: it is tried again, as after any other outage."""
    mine = await backend.adopt_or_create(spec(limits=SMALL))
    loop = asyncio.get_running_loop()

    def fails(container: str) -> None:
        asyncio.run_coroutine_threadsafe(helper.end(signal.SIGKILL), loop).result(40)
        raise StartFailed(f"starting {container}: input/output error")

    monkeypatch.setattr(backend._engine, "start", fails)
    with pytest.raises(Unreachable, match="ended while it lent a disk"):
        await backend.start(mine.name)
    monkeypatch.undo()
    await helper.start()
    assert (await backend.start(mine.name)).state is ContainerState.RUNNING


async def test_in_memory__is_full_too_and_is_not_started_again(
    backend: DockerBackend, engine: RealEngine
) -> None:
    container = await started(backend, spec(limits=replace(SMALL, disk_bytes=8 * MIB)))
    code, said = await inside(engine, container, FILL)
    assert code != 0
    assert "No space left on device" in said
    await backend.stop(container.name, 2)
    with pytest.raises(StartFailed, match="in memory"):
        await backend.start(container.name)


async def test_no_limit__is_the_directory_itself(backend: DockerBackend) -> None:
    container = await started(backend, spec())
    (container.directories.workspace / "seen").write_text("x")
    assert container.directories.workspace.stat().st_uid == 10001


async def test_engine_killed_and_started_again__content_is_kept_and_nothing_is_left(
    engine: RealEngine, resident_image: str, options: DockerOptions
) -> None:
    async with private_engine(engine, resident_image) as private:
        place = private.home / "b"
        (place / "s").mkdir(parents=True)
        async with volumes_helper(place / "s") as helper:
            backend = backend_at(private.host, place, options, helper=helper.socket)
            await backend.open()
            container = await started(backend, spec(limits=SMALL))
            own = RealEngine(private.host, docker.DockerClient(private.host))
            await inside(own, container, "echo kept > /workspace/kept")
            private.signal(signal.SIGKILL)
            assert private.process is not None
            await asyncio.to_thread(private.process.wait, 20)
            await private.start()

            async def started_again() -> bool:
                try:
                    found = await backend.start(container.name)
                except BackendError:
                    return False  # what was left of it is being ended
                return found.state is ContainerState.RUNNING

            await eventually(started_again, "it does not start again", within=30)
            assert (await inside(own, container, "cat /workspace/kept"))[1] == "kept\n"
            assert len(loop_devices_below(place)) == 1
            await backend.stop(container.name, 2)
            await backend.remove(container.name)
            assert loop_devices_below(place) == []
            await backend.close()
            own.client.close()


def test_helper_that_cannot__is_told_of_and_limits_are_watched(
    engine: RealEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = DockerDisks(DiskOptions(helper=Path("/nowhere")))

    def full(_self: DockerDisks) -> str:
        return "no loop devices"

    monkeypatch.setattr(DockerDisks, "_tried", full)

    class NoQuota:
        def holds_quota(self, _name: str) -> bool:
            return False

    disks.look(NoQuota(), "x")  # type: ignore[arg-type] # the one answer that is asked for
    assert (disks.means, disks.problem) == ("watch", "no loop devices")
    assert disks.means_for(SMALL) == "watch"


def test_quota__is_a_named_volume_of_that_size() -> None:
    limits = replace(SMALL, disk_by="quota")
    made = workspace_mount(
        limits, Path("/x/workspace"), "/workspace", name="n", labels={}, owner=Owner(1, 1)
    )
    assert (made["Type"], made["Source"]) == ("volume", "n-workspace")
    assert made["VolumeOptions"]["DriverConfig"]["Options"] == {"size": str(32 * MIB)}


async def test_full_host__is_no_space(
    backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = replace(SMALL, disk_bytes=1 << 60)
    container = await backend.adopt_or_create(spec(limits=huge))
    with pytest.raises((NoSpace, StartFailed)):
        await backend.start(container.name)
