"""The docker backend on a real engine: the contract, what it isolates, and what is its own."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from chassis import failpoints
from chassis.failpoints import FailpointReached
from chassis.ids import new_id
from executor_manager.containers import places
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.docker_backend import DockerBackend, DockerSite
from executor_manager.containers.docker_configuration import DockerOptions, labels
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.errors import (
    BackendError,
    ImageMissing,
    NameTaken,
    StartFailed,
    Unreachable,
)
from tests.executor_manager.containers.contract import (
    BackendContract,
    eventually,
    spec,
    started,
)
from tests.executor_manager.containers.isolation import IsolationContract
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


def site(host: str, short_dir: Path, call_seconds: float = 30.0) -> DockerSite:
    volumes = Volumes(short_dir / "s", short_dir / "k")
    return DockerSite(host=host, call_seconds=call_seconds, volumes=volumes)


@pytest.fixture
def options(resident_image: str) -> DockerOptions:
    return DockerOptions(manager_id=new_id(), image=resident_image, log_mib=1)


@pytest.fixture
async def backend(
    engine: RealEngine, options: DockerOptions, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    backend = DockerBackend(site(engine.host, short_dir), options)
    await backend.open()
    yield backend
    await asyncio.to_thread(engine.remove_all, berth_manager=str(options.manager_id))
    await backend.close()


@pytest.fixture
async def second(
    engine: RealEngine, options: DockerOptions, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    """As another manager's, after a restart."""
    second = DockerBackend(site(engine.host, short_dir), options)
    yield second
    await second.close()


class TestDockerBackend(BackendContract):
    pass


class TestDockerIsolation(IsolationContract):
    pass


async def test_directories__are_siblings_with_owners_that_keep_the_agent_out(
    backend: DockerBackend, short_dir: Path
) -> None:
    made = (await backend.adopt_or_create(spec())).directories
    assert made.home is None
    expected = {
        made.workspace: (10001, 10001, 0o700),
        made.spool: (0, 0, 0o700),
        made.control: (0, 0, 0o700),
        made.agent: (0, 10001, 0o750),
    }
    for path, owner in expected.items():
        seen = path.stat()
        assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == owner
    assert made.control.parent.parent == short_dir / "k"


async def test_a_create_whose_answer_was_lost__finds_the_same_container(
    backend: DockerBackend, second: DockerBackend, engine: RealEngine, options: DockerOptions
) -> None:
    wanted = spec()

    def lose() -> None:
        raise FailpointReached("docker.after_create")

    failpoints.arm("docker.after_create", lose)
    try:
        with pytest.raises(FailpointReached):
            await backend.adopt_or_create(wanted)
    finally:
        failpoints.disarm_all()
    container = await second.adopt_or_create(wanted)
    assert container.state is ContainerState.CREATED
    found = await asyncio.to_thread(engine.containers, berth_manager=str(options.manager_id))
    assert [one.name for one in found] == [container.name]
    assert (await second.start(container.name)).state is ContainerState.RUNNING


@pytest.mark.parametrize("case", ["no labels", "another manager's", "another worker's"])
async def test_a_name_that_is_not_ours__is_taken_and_stays_untouched(
    backend: DockerBackend, engine: RealEngine, options: DockerOptions, case: str
) -> None:
    wanted = spec()
    worn = {
        "no labels": {},
        "another manager's": labels(new_id(), wanted.identity),
        "another worker's": labels(
            options.manager_id, replace(wanted.identity, session_id=new_id())
        ),
    }[case]
    foreign = await asyncio.to_thread(
        engine.client.containers.create,
        options.image,
        name=wanted.identity.name,
        labels=worn,
        network_mode="none",
    )
    try:
        with pytest.raises(NameTaken):
            await backend.adopt_or_create(wanted)
        with pytest.raises(NameTaken):
            await backend.start(wanted.identity.name)
        await asyncio.to_thread(foreign.reload)
        assert foreign.status == "created"
    finally:
        await asyncio.to_thread(foreign.remove, force=True)


async def test_two_managers_on_one_engine__see_their_own_only(
    backend: DockerBackend, engine: RealEngine, options: DockerOptions, short_dir: Path
) -> None:
    mine = await started(backend, spec())
    other_options = replace(options, manager_id=new_id())
    other = DockerBackend(site(engine.host, short_dir / "o"), other_options)
    await other.open()
    try:
        theirs = await started(other, spec())
        assert [one.name for one in (await backend.list()).containers] == [mine.name]
        assert [one.name for one in (await other.list()).containers] == [theirs.name]
        assert await other.get(mine.name) is None
        await other.remove(mine.name)
        assert (await backend.get(mine.name) or theirs).state is ContainerState.RUNNING
    finally:
        manager = str(other_options.manager_id)
        await asyncio.to_thread(engine.remove_all, berth_manager=manager)
        await other.close()


async def test_garbled_labels__are_a_stranger(
    backend: DockerBackend, engine: RealEngine, options: DockerOptions
) -> None:
    worn = {**labels(options.manager_id, spec().identity), "berth.session": "garbled"}
    name = f"berth-test-{new_id()}"
    stranger = await asyncio.to_thread(
        engine.client.containers.create, options.image, name=name, labels=worn, network_mode="none"
    )
    listing = await backend.list()
    assert (listing.containers, listing.strangers) == ([], [name])
    await asyncio.to_thread(stranger.remove)


async def test_a_directory_without_a_record__is_a_stranger_and_stays(
    backend: DockerBackend, short_dir: Path
) -> None:
    place = short_dir / "s" / "workers" / "somebody"
    place.mkdir()
    assert (await backend.list()).strangers == [str(place)]
    assert place.exists()


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
    engine_id = backend._ids.pop(container.name)
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
    await asyncio.to_thread(backend._engine.remove, backend._ids[container.name])
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

    await backend.stop(container.name, 5)
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


async def test_open__an_image_that_is_missing_is_named_with_what_makes_it(
    engine: RealEngine, options: DockerOptions, short_dir: Path
) -> None:
    missing = replace(options, image="berth-test-nothing:here")
    backend = DockerBackend(site(engine.host, short_dir), missing)
    with pytest.raises(ImageMissing, match=r"berth-test-nothing:here.*make images"):
        await backend.open()
    with pytest.raises(ImageMissing):
        await backend.adopt_or_create(spec())
    await backend.close()


async def test_open__without_an_engine_is_unreachable(
    options: DockerOptions, short_dir: Path
) -> None:
    backend = DockerBackend(site(f"unix://{short_dir}/none.sock", short_dir), options)
    with pytest.raises(Unreachable):
        await backend.open()
    with pytest.raises(Unreachable):
        await backend.list()
    await backend.close()


async def test_open__sockets_too_deep_are_refused_with_how_much_is_too_much(
    engine: RealEngine, options: DockerOptions, short_dir: Path
) -> None:
    deep = DockerSite(
        host=engine.host,
        call_seconds=5,
        volumes=Volumes(short_dir, short_dir / ("d" * 80)),
    )
    backend = DockerBackend(deep, options)
    with pytest.raises(BackendError, match="bytes shorter"):
        await backend.open()
    await backend.close()


async def test_probe__its_answer_is_remembered_and_its_container_gone(
    backend: DockerBackend, engine: RealEngine, options: DockerOptions
) -> None:
    def command(image: dict[str, str]) -> list[str]:
        return ["/bin/sh", "-c", f"echo hello {image['PATH']}; id -u"]

    leftover = await asyncio.to_thread(
        engine.client.containers.create,
        options.image,
        name=backend.probe.name,
        labels={"berth.role": "probe", "berth.manager": str(options.manager_id)},
    )
    printed = await backend.probe.run(command)
    assert printed.exit_code == 0
    assert printed.text.startswith(b"hello /usr/local/")
    assert printed.text.endswith(b"\n10001\n")
    assert await backend.probe.run(command) is printed
    assert await asyncio.to_thread(engine.containers, berth_manager=str(options.manager_id)) == []
    assert leftover.id


async def test_inspect__shows_the_flags_and_four_mounts(
    backend: DockerBackend, engine: RealEngine, short_dir: Path
) -> None:
    container = await started(backend, spec())
    seen = (await asyncio.to_thread(engine.client.containers.get, container.name)).attrs
    host = seen["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert sorted(host["CapAdd"]) == ["KILL", "SETGID", "SETUID"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["Init"]
    assert not host["Privileged"]
    assert host["RestartPolicy"]["Name"] == "no"
    mounts = {mount["Destination"]: mount["Source"] for mount in seen["Mounts"]}
    short = places.short(container.name)
    assert mounts == {
        "/workspace": f"{short_dir}/s/workers/{short}/workspace",
        "/berth/spool": f"{short_dir}/s/workers/{short}/spool",
        "/berth/control": f"{short_dir}/k/{short}/control",
        "/berth/agent": f"{short_dir}/k/{short}/agent",
    }
    assert UUID(seen["Config"]["Labels"]["berth.session"]) == container.identity.session_id
