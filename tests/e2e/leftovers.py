"""What is left after everything was taken down, as the engine and the kernel tell it."""

from collections.abc import Iterable
from pathlib import Path

from tests.e2e.engine import Engine, threaded
from tests.e2e.stack import PROJECT_LABEL


async def left_behind(
    engine: Engine, *, project: str, managers: Iterable[str], places: Iterable[Path]
) -> list[str]:
    """Containers, volumes and networks by our labels; mounts and sockets by our names."""
    return await _of_engine(engine, project, managers) + _of_kernel([project, *map(str, places)])


def _of_kernel(names: list[str]) -> list[str]:
    found: list[str] = []
    for table, what in (("/proc/mounts", "mount"), ("/proc/net/unix", "socket")):
        lines = Path(table).read_text().splitlines()
        found += [f"{what} {line}" for line in lines if any(name in line for name in names)]
    found += [f"loop device of {file}" for file in _looped() if any(one in file for one in names)]
    return found + [f"path {name}" for name in names if Path(name).exists()]


def _looped() -> list[str]:
    """The files on loop devices, as the kernel knows them."""
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [one.read_text().strip() for one in files]


async def _of_engine(engine: Engine, project: str, managers: Iterable[str]) -> list[str]:
    label = f"{PROJECT_LABEL}={project}"
    filters = {"label": label}
    containers = await engine.containers(label)
    for manager in managers:
        containers += await engine.containers(f"berth.manager={manager}")
    volumes = await threaded(engine.client.volumes.list, filters=filters)
    for manager in managers:
        mine = {"label": f"berth.manager={manager}"}
        volumes += await threaded(engine.client.volumes.list, filters=mine)
    networks = await threaded(engine.client.networks.list, filters=filters)
    return [
        *(f"container {one.name}" for one in containers),
        *(f"volume {one.name}" for one in volumes),
        *(f"network {one.name}" for one in networks),
    ]
