"""What a running stack holds for its sessions, by the engine's lists and the kernel's tables."""

import json
from collections.abc import Iterable
from pathlib import Path

from executor_manager.containers import places
from tests.e2e.engine import threaded
from tests.e2e.stack import PROJECT_LABEL, Stack

PARTS = ("manager-state/workers", "manager-state/trash", "sockets", "sockets/trash")
NO_WORKERS = {"relay", "trash"}
"""What else is beside the workers' own directories."""
DELETED = "disk.img (deleted)"
WARM = "berth-warm-"


async def census(stack: Stack) -> set[str]:
    """A line for each container, volume, network, directory, mount and loop device."""
    containers = [str(one.name) for one in await stack.own_sessions()]
    return {
        *(f"container {name}" for name in containers),
        *(f"volume {name}" for name in await _volumes(stack)),
        *(f"network {name}" for name in await _networks(stack)),
        *(f"directory {path}" for path in await _directories(stack)),
        *(f"mount {line}" for line in mounted([stack.project])),
        *(f"loop device of {file}" for file in looped(containers)),
    }


async def besides_workers(stack: Stack) -> list[str]:
    """Of these, what belongs to no worker that the database knows, and workers that have nothing;
    containers that wait for a session are nobody's on purpose.
    """
    workers = await workers_of(stack)
    rows = await stack.fetch("SELECT id, state FROM session_workers WHERE removed_at IS NULL")
    known = {str(row["id"]) for row in rows}
    serving = {str(row["id"]) for row in rows if row["state"] in {"ready", "busy", "idle"}}
    strangers = [name for name, worker in workers.items() if worker and worker not in known]
    shorts = {places.short(name) for name in workers}
    folders = [one for one in await _directories(stack) if Path(one).name not in shorts]
    disks = [file for file in looped(workers) if file.endswith(DELETED)]
    return [
        *(f"container {name} of nobody" for name in strangers),
        *(f"worker {worker} without a container" for worker in serving - {*workers.values()}),
        *(f"directory {path}" for path in folders),
        *(f"loop device of {file}" for file in disks),
    ]


async def workers_of(stack: Stack) -> dict[str, str]:
    """Each container's worker; nobody's, where it still waits for one."""
    home = await _home(stack, "manager-state")
    found: dict[str, str] = {}
    for one in await stack.own_sessions():
        name = str(one.name)
        found[name] = one.labels["berth.worker"]
        if name.startswith(WARM):
            binding = home / "workers" / places.short(name) / "binding.json"
            bound = json.loads(binding.read_text()) if binding.exists() else {}
            found[name] = bound.get("worker_id", "")
    return found


async def _home(stack: Stack, volume: str) -> Path:
    made = await threaded(stack.engine.client.volumes.get, f"{stack.project}_{volume}")
    return Path(made.attrs["Mountpoint"])


async def _directories(stack: Stack) -> list[str]:
    """Of workers, on the manager's two volumes, and what is thrown away and not yet deleted."""
    found: list[str] = []
    for part in PARTS:
        volume, _, below = part.partition("/")
        folder = await _home(stack, volume) / below
        names = {one.name for one in folder.iterdir()} - NO_WORKERS
        found += [f"{part}/{name}" for name in names]
    return found


async def _volumes(stack: Stack) -> list[str]:
    found: list[str] = []
    for manager in stack.managers:
        wanted = {"label": f"berth.manager={manager}"}
        listed = await threaded(stack.engine.client.volumes.list, filters=wanted)
        found += [str(one.name) for one in listed]
    return found


async def _networks(stack: Stack) -> list[str]:
    wanted = {"label": f"{PROJECT_LABEL}={stack.project}"}
    listed = await threaded(stack.engine.client.networks.list, filters=wanted)
    return [str(one.name) for one in listed]


def mounted(words: Iterable[str]) -> list[str]:
    """Mounts of this host that name one of these."""
    wanted = [*words]
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line for line in lines if any(word in line for word in wanted)]


def looped(containers: Iterable[str]) -> list[str]:
    """Disks of these containers on loop devices, and those whose file is gone.

    The kernel names a file as the helper sees it, which is below no path of this deployment.
    """
    shorts = [places.short(name) for name in containers]
    found: list[str] = []
    for one in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = one.read_text().strip()
        except OSError:  # it was cleared in this moment
            continue
        if file.endswith(DELETED) or any(short in file for short in shorts):
            found.append(file)
    return found
