"""`python -m deploy.compose_down`: ends a compose deployment for good, its sessions and data too.

Sessions' containers are not compose's: `docker compose down` leaves them running, for the next `up`
to adopt. They are told by where they are mounted from: this deployment's volumes.
"""

import subprocess
import sys
from pathlib import Path

import docker
import msgspec

ROOT = Path(__file__).parent.parent
VOLUMES = ("manager-state", "sockets")


class _Configuration(msgspec.Struct, frozen=True):
    name: str


def main() -> None:
    compose = [str(Path(sys.executable).with_name("docker-compose"))]
    shown = subprocess.run(
        [*compose, "config", "--format", "json"], cwd=ROOT, check=True, capture_output=True
    )
    project = msgspec.json.decode(shown.stdout, type=_Configuration).name
    # first, or it would make the sessions' containers anew
    subprocess.run([*compose, "stop", "executor-manager"], cwd=ROOT, check=True)
    engine = docker.from_env()
    homes, managers = _mountpoints(engine, project), set[str]()
    for container in engine.containers.list(all=True, filters={"label": "berth.role=session"}):
        mounts = [str(mount.get("Source", "")) for mount in container.attrs["Mounts"]]
        if any(mount.startswith(home + "/") for mount in mounts for home in homes):
            managers.add(str(container.labels.get("berth.manager", "")))
            container.remove(force=True, v=True)
    for manager in managers:
        _remove_disks(engine, manager)
    remove = ("down", "--volumes", "--remove-orphans")
    sys.exit(subprocess.run([*compose, *remove], cwd=ROOT, check=False).returncode)


def _remove_disks(engine: docker.DockerClient, manager: str) -> None:
    """Those with a quota have names, and stay when their containers go."""
    wanted = ["berth.role=workspace", f"berth.manager={manager}"]
    for volume in engine.volumes.list(filters={"label": wanted}):
        volume.remove()


def _mountpoints(engine: docker.DockerClient, project: str) -> list[str]:
    found = engine.volumes.list(filters={"label": f"com.docker.compose.project={project}"})
    names = {f"{project}_{name}" for name in VOLUMES}
    return [str(volume.attrs["Mountpoint"]) for volume in found if volume.name in names]


if __name__ == "__main__":
    main()
