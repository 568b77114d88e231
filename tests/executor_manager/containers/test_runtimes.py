"""Runtimes are tried before they are offered: a session lives by sockets of mounted directories."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import msgspec
import pytest

from chassis.ids import new_id
from contracts.containers import ContainerChoice
from contracts.workers import WorkerGrant
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.errors import RuntimeMissing, TierRefused
from executor_manager.containers.runtimes import DEAF, MUTE, PLACE
from tests.executor_manager.containers import runtime_standin
from tests.executor_manager.containers.contract import spec
from tests.executor_manager.containers.docker_site import site
from tests.executor_manager.managers import Desk, Start, grant, name_of, until
from tests.executor_manager.on_engine import on_engine
from tests.fixtures.engine import PrivateEngine, RealEngine, Runtimes, private_engine

pytestmark = [pytest.mark.docker, pytest.mark.root]

STANDINS: Runtimes = {
    f"test-{how}": {"path": sys.executable, "runtimeArgs": ["-I", runtime_standin.__file__, how]}
    for how in ("open", "connect", "closed", "broken")
}
FIX = '"runtimeArgs": ["--host-uds=all"]'

WAIVED = "engine_version,runc_version,containerd_version,kernel"
"""This host's, which are another test's matter."""

Opened = Callable[..., Any]


@pytest.fixture(scope="module")
async def own_engine(engine: RealEngine, standin_image: str) -> AsyncGenerator[PrivateEngine]:
    runsc = shutil.which("runsc")
    sandboxes = {
        f"runsc{name}": {"path": runsc, "runtimeArgs": ["--network=none", *flags]}
        for name, flags in {
            "": ["--host-uds=all"],
            "-open": ["--host-uds=open"],
            "-closed": [],
        }.items()
        if runsc is not None
    }
    async with private_engine(engine, standin_image, {**STANDINS, **sandboxes}) as private:
        yield private


@pytest.fixture
async def opened(
    own_engine: PrivateEngine, standin_image: str, short_dir: Path
) -> AsyncGenerator[Opened]:
    backends: list[DockerBackend] = []
    first = DockerOptions(manager_id=new_id(), image=standin_image, log_mib=1)

    async def open_one(*runtimes: str) -> DockerBackend:
        options = replace(first, runtimes=runtimes, waived=tuple(WAIVED.split(",")))
        backend = DockerBackend(site(own_engine.host, short_dir), options)
        backends.append(backend)
        await backend.open()
        return backend

    yield open_one
    for backend in backends:
        await backend.close()


@pytest.fixture
def runsc() -> None:
    if shutil.which("runsc") is None:
        pytest.skip("runsc: gVisor is not here; Debian has it as the package runsc")


def containers(engine: PrivateEngine) -> list[Any]:
    client = docker.DockerClient(engine.host, timeout=30)
    try:
        return client.containers.list(all=True)
    finally:
        client.close()


def read_inside(engine: PrivateEngine, name: str, path: str) -> str:
    (found,) = [one for one in containers(engine) if one.name == name]
    return found.exec_run(["cat", path]).output.decode()


async def test_runtimes__that_let_sockets_through_are_offered_and_others_say_what_would_help(
    opened: Opened, own_engine: PrivateEngine, short_dir: Path
) -> None:
    backend = await opened(*STANDINS, "test-absent")
    offer = backend.offer
    assert offer.runtimes == ["test-open"]
    assert set(offer.unfit) == {"test-connect", "test-closed", "test-broken", "test-absent"}
    closed, connect = offer.unfit["test-closed"], offer.unfit["test-connect"]
    assert DEAF in closed
    assert MUTE in closed
    assert DEAF not in connect
    assert MUTE in connect
    assert "Read-only file system" in connect, "what the program inside was told"
    assert FIX in closed
    assert FIX in connect
    assert "did not terminate successfully" in offer.unfit["test-broken"]
    assert FIX not in offer.unfit["test-broken"]
    assert "the engine knows none of that name" in offer.unfit["test-absent"]
    (found,) = [one for one in backend.preflight if one.check == "runtimes"]
    assert (found.state, found.found) == ("warn", "test-open")
    assert f"test-closed: {DEAF}" in found.wrong
    assert FIX in found.remedy
    with pytest.raises(RuntimeMissing, match="no runtime test-closed to be had: nothing inside"):
        await backend.adopt_or_create(
            replace(spec(), choice=ContainerChoice(runtime="test-closed"))
        )
    assert await asyncio.to_thread(containers, own_engine) == []
    assert not (short_dir / "k" / PLACE).exists()


async def test_runtimes__what_a_killed_manager_left_is_in_nobodys_way(
    opened: Opened, short_dir: Path
) -> None:
    left = short_dir / "k" / PLACE
    left.mkdir(parents=True)
    for name in ("outside.sock", "inside.sock"):
        (left / name).write_text("of a former one")
    assert (await opened("test-open")).offer.runtimes == ["test-open"]
    assert not left.exists()


def choosing(runtime: str, **said: Any) -> WorkerGrant:
    return msgspec.structs.replace(grant(), runtime=runtime, **said)


async def test_manager__starts_sessions_in_what_passed_and_tells_the_control_plane_of_the_rest(
    start: Start, desk: Desk, own_engine: PrivateEngine, standin_image: str, short_dir: Path
) -> None:
    begin = on_engine(start, own_engine.host, standin_image, short_dir)
    await begin(runtimes="test-open,test-closed")
    able = desk.offer(choosing("test-open"))
    unable = desk.offer(choosing("test-closed"))
    told = (await until(lambda: desk.registrations, "it registers", deadline=60))[0]
    assert told.containers.runtimes == ["test-open"]
    assert FIX in told.containers.unfit["test-closed"]
    assert [one.state for one in told.preflight if one.check == "runtimes"] == ["warn"]
    change = await until(lambda: desk.changed(unable, "failed"), "refused", deadline=60)
    assert change.reason == "runtime_missing"
    assert FIX in change.detail
    await desk.ready(able)
    desk.command(able, "stop")
    await until(lambda: desk.verdicts.get(able.worker_id), "it ends")


@pytest.mark.usefixtures("runsc")
async def test_runsc__is_fit_with_its_flag_alone(opened: Opened) -> None:
    backend = await opened("runsc", "runsc-open", "runsc-closed")
    assert backend.offer.runtimes == ["runsc"], backend.offer.unfit
    assert MUTE in backend.offer.unfit["runsc-open"]
    assert DEAF not in backend.offer.unfit["runsc-open"]
    assert DEAF in backend.offer.unfit["runsc-closed"]
    assert MUTE in backend.offer.unfit["runsc-closed"]
    (users,) = [one for one in backend.preflight if one.check == "users"]
    assert (users.state, users.found) == ("ok", "not mapped; sandboxes: runsc")


@pytest.mark.usefixtures("runsc")
async def test_runsc__without_its_flag_takes_no_untrusted_session(opened: Opened) -> None:
    backend = await opened("runsc-closed")
    (users,) = [one for one in backend.preflight if one.check == "users"]
    assert (users.state, users.found) == ("warn", "not mapped, and no sandbox that is fit")
    with pytest.raises(TierRefused, match=f"runsc-closed: {DEAF}"):
        await backend.adopt_or_create(replace(spec(), choice=ContainerChoice(tier="untrusted")))


@pytest.mark.usefixtures("runsc")
async def test_runsc__an_untrusted_session_lives_on_a_kernel_of_its_own(
    start: Start, desk: Desk, own_engine: PrivateEngine, standin_image: str, short_dir: Path
) -> None:
    begin = on_engine(start, own_engine.host, standin_image, short_dir)
    await begin(preflight_waived=WAIVED)
    worker = desk.offer(choosing("", tier="untrusted"))
    await until(lambda: desk.changed(worker, "ready"), "ready", deadline=60)
    version = await asyncio.to_thread(read_inside, own_engine, name_of(worker), "/proc/version")
    assert version.startswith("Linux version ")
    assert os.uname().release not in version
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    command = desk.command(worker, "start", run=run)
    await until(lambda: command in desk.done, "acknowledged")
    assert desk.callbacks[0] == ("Bearer bwt_canary", {"started": str(command)})
