"""What is left after everything was taken down, as the engine and the kernel tell it."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from tests.e2e.census import looped, mounted
from tests.e2e.engine import Engine, threaded
from tests.e2e.stack import PROJECT_LABEL
from tests.fixtures.deadlines import eventually

WITHIN = 30.0


async def left_behind(
    engine: Engine,
    *,
    project: str,
    managers: Iterable[str],
    containers: Iterable[str],
    places: Iterable[Path],
) -> list[str]:
    """Containers, volumes and networks by our labels; mounts, sockets and disks by our names. What
    the kernel takes back by itself has a while for it.
    """

    async def nothing() -> bool:
        names = [project, *map(str, places)]
        found[:] = await _of_engine(engine, project, managers) + _of_kernel(names, containers)
        return not found

    found: list[str] = []
    with contextlib.suppress(AssertionError):
        await eventually(nothing, "something is left behind", within=WITHIN)
    return found


def _of_kernel(names: list[str], containers: Iterable[str]) -> list[str]:
    sockets = Path("/proc/net/unix").read_text().splitlines()
    return [
        *(f"mount {line}" for line in mounted(names)),
        *(f"socket {line}" for line in sockets if any(name in line for name in names)),
        *(f"loop device of {file}" for file in looped(containers)),
        *(f"path {name}" for name in names if Path(name).exists()),
    ]


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
