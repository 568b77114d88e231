"""The process backend in a sandbox: the contract, and what a session there cannot see or do."""

import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor_manager.containers import keeping
from executor_manager.containers.backend import Container, ContainerState
from executor_manager.containers.errors import BackendError
from executor_manager.containers.places import Owner
from executor_manager.containers.process import ProcessBackend
from executor_manager.containers.procfs import look, send
from executor_manager.containers.program import Program
from tests.executor_manager.containers.contract import (
    BackendContract,
    eventually,
    spec,
    started,
    told,
)

RESIDENT = Path(__file__).parent / "resident.py"
INTRUDER = Path(__file__).parent / "intruder.py"
AGENTS = Owner(uid=10001, gid=10001)


def program(script: Path = RESIDENT, owner: Owner | None = None) -> Program:
    python = "/usr/bin/python3" if owner else sys.executable
    return Program(
        argv=(python, "-I", "-S", str(script)),
        environment={"PATH": "/usr/bin:/bin"},
        owner=owner or Owner(),
        sandbox="bwrap",
    )


async def opened(state: Path, inside: Program) -> ProcessBackend:
    backend = ProcessBackend(state, inside)
    await backend.open()
    return backend


async def ended(backend: ProcessBackend) -> None:
    for container in (await backend.list()).containers:
        await backend.stop(container.name, 0)
    await backend.close()


@pytest.fixture
async def backend(short_dir: Path) -> AsyncGenerator[ProcessBackend]:
    backend = await opened(short_dir, program())
    yield backend
    await ended(backend)


@pytest.fixture
async def second(short_dir: Path) -> AsyncGenerator[ProcessBackend]:
    """As another manager's, after a restart: it is nobody's parent."""
    second = await opened(short_dir, program())
    yield second
    await second.close()


@pytest.mark.bwrap
class TestSandboxedBackend(BackendContract):
    pass


def found(container: Container) -> dict[str, Any]:
    return json.loads((container.directories.spool / "resident").read_text())


@pytest.fixture
async def intruded(short_dir: Path) -> AsyncGenerator[ProcessBackend]:
    """Its sessions look around. Two levels down, as below the data directory of `berth up`."""
    state = short_dir / "data" / "manager"
    state.mkdir(parents=True)
    backend = await opened(state, program(INTRUDER))
    yield backend
    await ended(backend)


@pytest.mark.bwrap
@pytest.mark.isolation
class TestSandbox:
    async def test_network__is_loopback_of_its_own(self, intruded: ProcessBackend) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = "{}:{}".format(*listener.getsockname())
            dials = f"{address},192.0.2.1:80,169.254.169.254:80"
            seen = found(await started(intruded, spec(TEST_DIAL=dials)))
        assert seen["interfaces"] == ["lo"]
        assert seen["loopback"] == "done"
        assert seen["dialled"] == {
            address: "Connection refused",
            "192.0.2.1:80": "Network is unreachable",
            "169.254.169.254:80": "Network is unreachable",
        }

    async def test_processes__are_its_own(self, intruded: ProcessBackend) -> None:
        seen = found(await started(intruded, spec()))
        assert seen["processes"][:2] == [1, 2]
        assert len(seen["processes"]) <= 3

    async def test_files__nothing_of_the_deployment_but_its_own_places(
        self, intruded: ProcessBackend, short_dir: Path
    ) -> None:
        data = short_dir / "data"
        (data / "secrets").mkdir()
        for path in (data / "secrets" / "key", short_dir / "beside"):
            path.write_text("canary")
        other = await started(intruded, spec())
        (other.directories.workspace / "theirs").write_text("canary")
        theirs = other.directories.workspace / "theirs"
        paths = (data / "secrets" / "key", short_dir / "beside", theirs)
        wanted = spec(
            TEST_READ=",".join(map(str, [*paths, "/var/lib", "/etc/shadow", "/run"])),
            TEST_LIST=f"{data},{data / 'manager'},{data / 'manager' / 'workers'}",
        )
        container = await started(intruded, wanted)
        seen = found(container)
        assert set(seen["read"].values()) == {"No such file or directory"}
        place = container.directories.workspace.parent
        assert list(seen["listed"].values()) == ["['manager']", "['workers']", f"['{place.name}']"]

    async def test_sockets__of_other_sessions_and_of_the_host_are_not_there(
        self, intruded: ProcessBackend
    ) -> None:
        other = await started(intruded, spec())
        path = other.directories.control / "relay.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            wanted = spec(TEST_CONNECT=f"{path},/var/run/docker.sock,/run/dbus/system_bus_socket")
            seen = found(await started(intruded, wanted))
        assert set(seen["connected"].values()) == {"No such file or directory"}

    async def test_files__are_written_in_its_places_and_memory_alone(
        self, intruded: ProcessBackend
    ) -> None:
        container = await started(intruded, spec())
        written = found(container)["written"]
        place = container.directories.workspace.parent
        own = {str(place / name) for name in ("home", "workspace", "spool", "control")}
        done = {path for path, told in written.items() if told in {"1", "done"}}
        assert done == own | {"/tmp", "/dev"}

    async def test_powers__are_none_and_mounts_stay(self, intruded: ProcessBackend) -> None:
        seen = found(await started(intruded, spec()))
        assert int(seen["powers"], 16) == 0
        assert seen["no_new_privileges"] == "1"
        assert seen["remount"] == "refused"

    async def test_programs__find_what_they_need(
        self, intruded: ProcessBackend, short_dir: Path
    ) -> None:
        seen = found(await started(intruded, spec()))
        assert seen["pty"].startswith("/dev/pts/")
        assert seen["adjusted"] != "Permission denied"
        shown = {short_dir, *map(Path, (sys.prefix, sys.base_prefix)), RESIDENT}  # its own code
        assert set(seen["tmp"]) == {path.parts[2] for path in shown if path.is_relative_to("/tmp")}
        assert seen["host_name"] == "berth"

    async def test_killed_executor__is_told_with_its_signal(self, backend: ProcessBackend) -> None:
        container = await started(backend, spec(TEST_DAEMONS="2"))
        seen = keeping.executor_seen(container.directories.workspace.parent)
        assert seen is not None
        send(seen.process, signal.SIGKILL)

        async def gone() -> bool:
            return (told := await backend.get(container.name)) is not None and told.tree_gone

        await eventually(gone)
        after = await backend.get(container.name)
        assert after is not None
        assert after.exit_code == -9
        BackendContract().assert_none_left(container)

    async def test_killed_keeper__takes_all_along(self, backend: ProcessBackend) -> None:
        container = await started(backend, spec(TEST_DAEMONS="2"))
        place = container.directories.workspace.parent
        # the sandbox outside and inside, the executor, and its daemons
        await eventually(lambda: len(keeping.tree(place)) == 5)
        tree = keeping.tree(place)
        assert keeping.signal_keeper(place, signal.SIGKILL)
        await eventually(
            lambda: all((s := look(one.process.pid)) is None or s.gone for one in tree)
        )
        after = await backend.get(container.name)
        assert after is not None
        assert (after.state, after.tree_gone) == (ContainerState.EXITED, False)

    async def test_capabilities__tell_it(self, backend: ProcessBackend) -> None:
        kept = backend.capabilities
        assert kept.own_network
        assert kept.own_filesystem
        assert kept.own_processes
        assert not any("dialing" in sentence for sentence in kept.not_isolated)


@pytest.mark.bwrap
@pytest.mark.root
async def test_as_root__another_user_without_powers(short_dir: Path) -> None:
    copy = short_dir / "intruder.py"
    copy.write_text(INTRUDER.read_text())
    (short_dir / "state").mkdir()
    backend = await opened(short_dir / "state", program(copy, AGENTS))
    seen = found(await started(backend, spec(TEST_READ="/etc/passwd,/etc/shadow")))
    assert seen["read"] == {"/etc/passwd": "seen", "/etc/shadow": "No such file or directory"}
    assert (seen["uid"], seen["groups"]) == (10001, [])
    assert int(seen["powers"], 16) == 0
    assert "Permission" in seen["written"]["/usr"] or "Read-only" in seen["written"]["/usr"]
    await ended(backend)


async def test_wanted_and_not_here__no_start_and_what_to_do(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(short_dir))
    with pytest.raises(BackendError, match=r"BERTH_SANDBOX is bwrap.*install bubblewrap"):
        await opened(short_dir / "s", program())


async def test_wanted_where_it_cannot_work__no_start_and_why(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(forbidden(short_dir)), prepend=":")
    with pytest.raises(BackendError, match=r"No permissions to create.*user namespaces"):
        await opened(short_dir / "s", program())


async def test_auto_where_it_cannot_work__sessions_run_and_it_is_said(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(forbidden(short_dir)), prepend=":")
    backend = await opened(short_dir / "s", replace(program(), sandbox="auto"))
    container = await started(backend, spec())
    assert told(container)["BERTH_AGENT_PORT"] == "0"
    kept = backend.capabilities
    assert not any((kept.own_network, kept.own_filesystem, kept.own_processes))
    assert "No permissions" in kept.not_isolated[0]
    await ended(backend)


@pytest.mark.bwrap
async def test_named_paths__that_hold_the_state_are_refused(short_dir: Path) -> None:
    for inside, setting in (
        (replace(program(), readable=(short_dir,)), "READABLE"),
        (replace(program(), writable=(short_dir,)), "WRITABLE"),
    ):
        with pytest.raises(BackendError, match=f"BERTH_SANDBOX_{setting} names {short_dir}"):
            await opened(short_dir / "s", inside)


@pytest.mark.bwrap
async def test_named_paths__are_read_and_written(short_dir: Path) -> None:
    for name in ("read", "shared"):
        (short_dir / name).mkdir()
    paths = (short_dir / "read", short_dir / "shared")
    inside = replace(program(INTRUDER), readable=paths[:1], writable=paths[1:])
    backend = await opened(short_dir / "s", inside)
    written = found(await started(backend, spec(TEST_WRITE=",".join(map(str, paths)))))["written"]
    assert [written[str(path)] for path in paths] == ["Read-only file system", "1"]
    await ended(backend)


def forbidden(directory: Path) -> Path:
    """A bwrap where the kernel gives no user namespaces: it says what the real one says then."""
    place = directory / "bin"
    place.mkdir()
    shim = place / "bwrap"
    shim.write_text(
        "#!/bin/sh\n"
        "echo 'bwrap: No permissions to create new namespace, likely because the kernel does not"
        " allow non-privileged user namespaces.' >&2\nexit 1\n"
    )
    shim.chmod(0o755)
    return place
