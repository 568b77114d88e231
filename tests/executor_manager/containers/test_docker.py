"""The docker backend on a real engine: the contract, what it isolates, and what is its own."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from chassis import failpoints
from chassis.failpoints import FailpointReached
from chassis.ids import new_id
from executor_manager.containers import places
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions, labels
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.errors import (
    BackendError,
    ImageMissing,
    NameTaken,
    Unreachable,
)
from tests.executor_manager.containers.contract import (
    BackendContract,
    spec,
    started,
)
from tests.executor_manager.containers.docker_site import site
from tests.executor_manager.containers.isolation import IsolationContract
from tests.executor_manager.containers.warm import WarmContract
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


class TestDockerBackend(BackendContract):
    pass


class TestDockerIsolation(IsolationContract):
    pass


class TestDockerWarm(WarmContract):
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


async def test_a_name_that_became_anothers__is_a_stranger_and_hides_nobody(
    backend: DockerBackend, engine: RealEngine, options: DockerOptions
) -> None:
    robbed, well = await started(backend, spec()), await started(backend, spec())
    lost = await asyncio.to_thread(engine.client.containers.get, robbed.name)
    await asyncio.to_thread(lost.remove, force=True)
    foreign = await asyncio.to_thread(
        engine.client.containers.create, options.image, name=robbed.name, network_mode="none"
    )
    try:
        listing = await backend.list()
        assert [one.name for one in listing.containers] == [well.name]
        assert listing.strangers == [robbed.name]
        with pytest.raises(NameTaken):
            await backend.start(robbed.name)
        assert robbed.directories.workspace.exists()
    finally:
        await asyncio.to_thread(foreign.remove, force=True)
    assert (await backend.start(robbed.name)).state is ContainerState.RUNNING


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
