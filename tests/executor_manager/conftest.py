"""What the manager's tests share: short directories, a relay as a real process, an upstream."""

import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from executor_manager.containers.process import ProcessBackend
from executor_manager.containers.procfs import send, strays
from executor_manager.containers.program import Program
from tests.executor_manager.managers import Desk, Manager, Start
from tests.executor_manager.on_engine import DockerStart, build_standin, on_engine
from tests.executor_manager.relays import Relay, Upstream
from tests.fixtures.engine import RealEngine


@pytest.fixture
def short_dir() -> Generator[Path]:
    """A socket's path ends at 107 bytes, and pytest's own directories are long."""
    path = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def relay(short_dir: Path) -> AsyncGenerator[Relay]:
    async with Relay(short_dir / "relay") as relay:
        yield relay


@pytest.fixture
async def desk() -> AsyncGenerator[Desk]:
    async with Desk() as desk:
        yield desk


@pytest.fixture
async def backend(short_dir: Path) -> AsyncGenerator[ProcessBackend]:
    """Looks at the same containers as the manager, and ends what a test left."""
    backend = ProcessBackend(short_dir / "s", Program(argv=("/bin/false",)))
    yield backend
    if (short_dir / "s" / "workers").exists():
        for container in (await backend.list()).containers:
            await backend.stop(container.name, 0)
    await _end_strays(short_dir)
    await backend.close()


async def _end_strays(short_dir: Path) -> None:
    """By their environment: one that is just starting has no pid file yet."""
    mark = frozenset({f"BERTH_RELAY_DIR={short_dir / 's' / 'relay'}".encode()})
    while left := strays(mark):
        for seen in left:
            send(seen.process, signal.SIGKILL)
        await asyncio.sleep(0.01)


@pytest.fixture
async def start(short_dir: Path, desk: Desk, backend: ProcessBackend) -> AsyncGenerator[Start]:
    managers: list[Manager] = []

    async def start(**settings: object) -> Manager:
        manager = Manager(short_dir / "s", desk, **settings)
        await manager.start()
        managers.append(manager)
        return manager

    yield start
    for manager in managers:
        await manager.kill()
    await _end_strays(short_dir)  # whatever the backend is


@pytest.fixture(scope="session")
def standin_image(engine: RealEngine) -> str:
    return build_standin(engine, "berth-test-standin:latest")


@pytest.fixture
async def docker_start(
    start: Start, desk: Desk, engine: RealEngine, standin_image: str, short_dir: Path
) -> AsyncGenerator[DockerStart]:
    managers: list[Manager] = []

    async def start_one(**settings: object) -> Manager:
        manager = await on_engine(start, engine.host, standin_image, short_dir)(**settings)
        managers.append(manager)
        return manager

    yield start_one
    for one in managers:
        await one.kill()  # one that lives makes more
    manager = short_dir / "s" / "manager_id"
    if manager.exists():
        own = manager.read_text().strip()
        found = await asyncio.to_thread(engine.containers, berth_manager=own)
        left = left_over(desk, short_dir / "s" / "workers", found)
        await asyncio.to_thread(engine.remove_all, berth_manager=own)
        assert not left, f"V7: {left}"


def left_over(desk: Desk, workers: Path, containers: Iterable[Any]) -> list[str]:
    """Of workers that are said to be removed."""
    removed = {str(worker) for worker, change in desk.changes if change.change == "removed"}
    records = {path: json.loads(path.read_text()) for path in workers.glob("*/container.json")}
    return [
        *(one.name for one in containers if one.labels.get("berth.worker") in removed),
        *(str(path.parent) for path, record in records.items() if record["worker_id"] in removed),
    ]
