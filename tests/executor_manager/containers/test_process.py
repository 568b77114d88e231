"""The process backend: the contract, and what is its own."""

import asyncio
import os
import signal
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from executor_manager.containers import keeping, places
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.errors import BackendError, NameTaken, StartFailed, Timeout
from executor_manager.containers.places import Owner
from executor_manager.containers.process import ProcessBackend
from executor_manager.containers.procfs import Process, look, send
from executor_manager.containers.program import Program
from executor_manager.containers.removal import remove_all
from executor_manager.containers.trash import THREADS as TRASH_THREADS
from tests.executor_manager.containers.contract import (
    BackendContract,
    eventually,
    spec,
    started,
    told,
)

RESIDENT = Path(__file__).parent / "resident.py"
SOURCE = RESIDENT.read_text()


def program(owner: Owner | None = None, log_bytes: int = 100_000) -> Program:
    return Program(
        argv=(sys.executable, "-I", "-S", str(RESIDENT)),
        environment={"PATH": "/usr/bin:/bin"},
        owner=owner or Owner(),
        log_bytes=log_bytes,
    )


@pytest.fixture
async def backend(short_dir: Path) -> AsyncGenerator[ProcessBackend]:
    backend = ProcessBackend(short_dir, program())
    await backend.open()
    yield backend
    for container in (await backend.list()).containers:
        await backend.stop(container.name, 0)
    await backend.close()


@pytest.fixture
async def second(short_dir: Path) -> AsyncGenerator[ProcessBackend]:
    """As another manager's, after a restart: it is nobody's parent."""
    second = ProcessBackend(short_dir, program())
    yield second
    await second.close()


class TestProcessBackend(BackendContract):
    pass


async def test_killed_executor__is_told_with_its_signal_and_nothing_is_left(
    backend: ProcessBackend, short_dir: Path
) -> None:
    container = await started(backend, spec(TEST_DAEMONS="2"))
    place = container.directories.workspace.parent
    executor = keeping.executor_seen(place)
    assert executor is not None
    send(executor.process, signal.SIGKILL)

    async def gone() -> bool:
        return (found := await backend.get(container.name)) is not None and found.tree_gone

    await eventually(gone)
    found = await backend.get(container.name)
    assert found is not None
    assert found.exit_code == -9
    BackendContract().assert_none_left(container)


async def test_killed_keeper__takes_the_executor_along_and_proves_nothing(
    backend: ProcessBackend,
) -> None:
    container = await started(backend, spec())
    place = container.directories.workspace.parent
    executor = keeping.executor_seen(place)
    assert executor is not None
    assert keeping.signal_keeper(place, signal.SIGKILL)
    await eventually(lambda: not keeping.kept(place))
    await eventually(lambda: (seen := look(executor.process.pid)) is None or seen.gone)
    found = await backend.get(container.name)
    assert found is not None
    assert (found.state, found.tree_gone) == (ContainerState.EXITED, False)
    with pytest.raises(StartFailed):
        await backend.start(container.name)


async def test_a_recycled_pid__is_never_signalled(backend: ProcessBackend) -> None:
    container = await backend.adopt_or_create(spec())
    place = container.directories.workspace.parent
    bystander = await asyncio.create_subprocess_exec("sleep", "100")
    start = look(bystander.pid)
    assert start is not None
    stale = keeping.Status(
        boot_id="another",
        keeper=(bystander.pid, start.process.start - 1),
        executor=(bystander.pid, start.process.start - 1),
        state="running",
    )
    places.write(place / "process.json", stale)
    stopped = await backend.stop(container.name, 0)
    assert stopped.tree_gone
    assert not send(Process(bystander.pid, start.process.start - 1), signal.SIGKILL)
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_log__never_grows_beyond_its_size(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = ProcessBackend(short_dir, program(log_bytes=1000))
    await backend.open()
    container = await started(backend, spec(TEST_NOISE="50000"))
    log = container.directories.workspace.parent / "log"
    older = log.with_name("log.1")  # written once the log is empty
    await eventually(lambda: older.exists() and older.read_bytes().endswith(b"x\n"))
    assert log.stat().st_size < 1000
    assert (await backend.logs(container.name)).endswith(b"x\n")
    await backend.stop(container.name, 5)
    await backend.close()


async def test_a_directory_without_a_record__is_a_stranger_and_stays(
    backend: ProcessBackend, short_dir: Path
) -> None:
    stranger = short_dir / "workers" / "somebody"
    stranger.mkdir()
    (stranger / "container.json").write_text("{garbled")
    assert (await backend.list()).strangers == [str(stranger)]
    assert stranger.exists()


async def test_a_place_of_another_name__is_taken(backend: ProcessBackend, short_dir: Path) -> None:
    wanted = spec()
    container = await backend.adopt_or_create(wanted)
    record = container.directories.workspace.parent / "container.json"
    found = msgspec.json.decode(record.read_bytes(), type=places.Record)
    places.write(record, msgspec.structs.replace(found, name="berth-other-1"))
    with pytest.raises(NameTaken):
        await backend.adopt_or_create(wanted)


async def test_a_long_state_directory__is_refused_with_how_much_is_too_much(
    short_dir: Path,
) -> None:
    backend = ProcessBackend(short_dir / ("d" * 80), program())
    with pytest.raises(BackendError, match="bytes shorter"):
        await backend.open()


@pytest.mark.root
async def test_as_root__executor_and_directories_are_another_users(short_dir: Path) -> None:
    owner = Owner(uid=10001, gid=10001)
    python = ("/usr/bin/python3", "-I", "-S")
    copy = short_dir / "resident.py"
    copy.write_text(SOURCE)
    inside = Program(argv=(*python, str(copy)), environment={"PATH": "/bin"}, owner=owner)
    backend = ProcessBackend(short_dir, inside)
    await backend.open()
    container = await started(backend, spec())
    assert told(container)["uid"] == "10001"
    assert container.directories.control.stat().st_uid == 10001
    assert container.directories.workspace.parent.stat().st_uid == 0
    await backend.stop(container.name, 5)
    await backend.remove(container.name)
    assert not container.directories.workspace.exists()
    await backend.close()


def test_removal__of_links_deep_trees_and_closed_directories() -> None:
    with tempfile.TemporaryDirectory() as outer:
        outside = Path(outer) / "outside"
        outside.mkdir()
        (outside / "kept").touch()
        trash = Path(outer) / "trash"
        trash.mkdir()
        (trash / "link").symlink_to(outside)
        descriptor = os.open(trash, os.O_RDONLY)
        for _ in range(3000):  # deeper than recursion, descriptors and PATH_MAX allow
            os.mkdir("d", dir_fd=descriptor)
            below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        os.symlink(outside, "link", dir_fd=descriptor)
        os.mkdir("closed", 0o000, dir_fd=descriptor)
        os.close(descriptor)
        remove_all(trash, deadline=60)
        assert list(trash.iterdir()) == []
        assert (outside / "kept").exists()


def test_removal__of_a_directory_with_many_names_takes_no_memory_for_them() -> None:
    with tempfile.TemporaryDirectory() as trash:
        crowd = Path(trash) / "crowd"
        crowd.mkdir()
        for number in range(20_000):
            os.close(os.open(crowd / f"a-name-of-some-length-{number}", os.O_CREAT, 0o600))
        tracemalloc.start()
        try:
            remove_all(Path(trash), deadline=60)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert list(Path(trash).iterdir()) == []
        assert most < 200_000


async def test_removed__while_large_trees_are_deleted_it_is_deleted_after_them(
    backend: ProcessBackend, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what takes longer than its turn goes on after the others."""
    monkeypatch.setattr("executor_manager.containers.trash.REMOVE_SECONDS", 0.2)
    held = threading.Event()

    def hold() -> None:
        held.wait(20)

    for _ in range(TRASH_THREADS):
        backend._trash.threads.later(hold)
    container = await backend.adopt_or_create(spec())
    (container.directories.workspace / "kept").touch()
    with pytest.raises(Timeout):
        await backend.remove(container.name)
    assert await backend.get(container.name) is None
    turns: list[float] = []

    def taking(bin_: Path, *, deadline: float) -> None:
        turns.append(deadline)
        if len(turns) < 3:
            raise Timeout("it goes on")
        remove_all(bin_, deadline=deadline)

    monkeypatch.setattr("executor_manager.containers.trash.remove_all", taking)
    held.set()
    await eventually(lambda: not list((short_dir / "trash").iterdir()))
    assert len(turns) == 3


async def test_open__what_cannot_be_deleted_keeps_nobody_from_starting(short_dir: Path) -> None:
    (short_dir / "trash").mkdir()
    (short_dir / "trash" / "stray").touch()
    old = short_dir / "trash" / "z"
    old.mkdir()
    (old / "f").touch()
    backend = ProcessBackend(short_dir, program())
    await backend.open()
    await eventually(lambda: not old.exists())
    await backend.close()


async def test_keeper__a_disk_without_room_for_a_file_does_not_hide_the_end(
    backend: ProcessBackend, short_dir: Path
) -> None:
    container = await started(backend, spec())
    place = short_dir / "workers" / places.short(container.name)
    (place / "process.json.new").mkdir()
    stopped = await backend.stop(container.name, 5)
    assert stopped.tree_gone
    (place / "process.json.new").rmdir()
