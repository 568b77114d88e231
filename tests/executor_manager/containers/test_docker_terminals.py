"""A real executor's terminals in a real container: the agent's user there, and nothing more."""

import asyncio
import re
from collections.abc import AsyncGenerator
from importlib import metadata
from pathlib import Path

import pytest

from chassis.client import ServiceClient
from chassis.errors import CallFailed
from chassis.ids import new_id
from chassis.objects import ObjectStore
from contracts.executors import EXECUTOR_STATUS, ExecutorPhase
from contracts.terminals import EXECUTOR_EXEC, EXECUTOR_TTY, ExecCommand
from contracts.wire import Empty
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from tests.executor.outside import Outside, outside_at
from tests.executor_manager.containers.contract import spec
from tests.fixtures.engine import BASE_IMAGE, RealEngine, build
from tests.fixtures.object_store import object_store, object_store_server
from tests.fixtures.viewer import watching

__all__ = ["object_store", "object_store_server"]

pytestmark = [pytest.mark.docker, pytest.mark.root]

ROOT = Path(__file__).parents[3]
IMAGE = "berth-test-terminals:latest"
DOCKERFILE = f"""\
FROM {BASE_IMAGE}
COPY berth /opt/berth
ENV PYTHONPATH=/opt/berth PYTHONDONTWRITEBYTECODE=1
WORKDIR /
CMD ["python3", "-P", "-m", "executor"]
"""


def parts() -> dict[str, bytes]:
    """Our packages, and what the executor's lock names, as they are installed here."""
    found = {
        f"berth/{path.relative_to(ROOT)}": path.read_bytes()
        for package in ("contracts", "chassis", "snapshots", "executor", "scripted")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".toml"}
    }
    locked = (ROOT / "requirements-executor.lock").read_text()
    for name in re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE):
        for file in metadata.files(name) or []:
            path = Path(str(file.locate()))
            if ".." not in file.parts and path.suffix in {".py", ".so"}:
                found[f"berth/{file}"] = path.read_bytes()
    return found


@pytest.fixture
async def backend(engine: RealEngine, short_dir: Path) -> AsyncGenerator[DockerBackend]:
    image = build(engine, IMAGE, {"Dockerfile": DOCKERFILE.encode(), **parts()})
    options = DockerOptions(manager_id=new_id(), image=image, log_mib=1)
    site = DockerSite(
        host=engine.host, call_seconds=30.0, volumes=Volumes(short_dir / "s", short_dir / "k")
    )
    backend = DockerBackend(site, options)
    await backend.open()
    yield backend
    await asyncio.to_thread(engine.remove_all, berth_manager=str(options.manager_id))
    await backend.close()


async def ready(client: ServiceClient) -> None:
    async with asyncio.timeout(60):
        while True:  # the executor's state is its own: it is asked for
            try:
                if (await client.call(EXECUTOR_STATUS, Empty())).phase is ExecutorPhase.READY:
                    return
            except CallFailed:
                pass
            await asyncio.sleep(0.05)


@pytest.fixture
async def socket(backend: DockerBackend, object_store: ObjectStore) -> AsyncGenerator[str]:
    container = await backend.adopt_or_create(spec())
    outside = Outside(object_store, f"t/{new_id().hex}")
    async with outside_at(container.directories.control, outside):
        await backend.start(container.name)
        address = str(backend.address(container))
        async with ServiceClient("http://executor", uds=address, target="executor") as client:
            await ready(client)
            yield address
        await backend.stop(container.name, 5.0)


async def test_terminal__is_uid_10001_with_nothing(socket: str) -> None:
    async with watching(f"http://x{EXECUTOR_TTY}?mode=write", uds=socket) as viewer:
        await viewer.enter(
            "id -u; pwd; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status;"
            " stat -c 'tty %u' $(tty); kill -9 1;"
            " ls /berth/spool /berth/control; touch /etc/x; touch mine && echo ma''de;"
            " ls /sys/class/net; echo en''d\r"
        )
        shown = await viewer.sees("end\r\n", 30)
    assert b"\r10001\r\n/workspace\r\n" in shown
    assert b"CapEff:\t0000000000000000" in shown
    assert b"NoNewPrivs:\t1" in shown
    assert b"tty 10001" in shown
    assert b"made" in shown
    assert shown.count(b"ermission denied") + shown.count(b"ot permitted") >= 3
    assert b"Read-only file system" in shown
    assert b"\r\nlo\r\n" in shown
    assert b"eth0" not in shown


async def test_resize_reconnect_and_signals__work_there(socket: str) -> None:
    url = f"http://x{EXECUTOR_TTY}?mode=write&columns=91&rows=31"
    async with watching(url, uds=socket) as viewer:
        # what is interrupted tells that it has the terminal
        await viewer.enter("stty size; x=4''2; sh -c 'echo wai\"\"ts; exec sleep 1000'\r")
        await viewer.sees("waits", 30)
    async with watching(url, uds=socket) as viewer:
        await viewer.sees("31 91\r\nwaits")
        await viewer.enter("\x03")
        await viewer.enter("echo x=$x''.\r")
        await viewer.sees("x=42.")


async def test_command__is_uid_10001_and_killed_at_its_time(socket: str) -> None:
    async with ServiceClient("http://executor", uds=socket, target="executor") as client:
        done = await client.call(EXECUTOR_EXEC, ExecCommand(command="id -u; pwd"))
        assert (done.stdout, done.exit_code) == ("10001\n/workspace\n", 0)
        slow = ExecCommand(
            command="trap '' TERM; setsid sleep 1013 & sleep 1012", timeout_seconds=3
        )
        done = await client.call(EXECUTOR_EXEC, slow)
        assert (done.timed_out, done.exit_code) == (True, 137)
        left = ExecCommand(command="cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "sleep 101" not in (await client.call(EXECUTOR_EXEC, left)).stdout
