"""What our directories are called on the engine's host, which is where it binds them from.

In a container of that engine our own mounts tell: the engine knows where each comes from. Where we
run in none, names are the same. A volume's directory is bound, not the volume: see
`docs/adr/0010-directories-on-two-volumes.md`.
"""

from pathlib import Path, PurePosixPath

from executor_manager.containers.docker_engine import Engine, Mount
from executor_manager.containers.errors import BackendError

MOUNTINFO = Path("/proc/self/mountinfo")
GIVEN_BY_ENGINE = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
"""Files that it mounts into every container, from a directory named by the container's id."""
ID_LENGTH = 64


def host_path(engine: Engine, path: Path, setting: str) -> Path:
    """Raises `BackendError` where it cannot be known, with the `setting` that tells it."""
    container = own_container(MOUNTINFO.read_text())
    if container is None:
        return path
    found = engine.inspect(container)
    if found is None:
        raise BackendError(
            f"we run in a container that this engine does not know: set {setting} to what its"
            f" host calls {path}"
        )
    return below(found.mounts, path, setting)


def own_container(mountinfo: str) -> str | None:
    """None: we run in no container of a Docker Engine."""
    for line in mountinfo.splitlines():
        fields = line.split()
        root, target = PurePosixPath(fields[3]), fields[4]
        if target in GIVEN_BY_ENGINE and len(root.parent.name) == ID_LENGTH:
            return root.parent.name
    return None


def below(mounts: list[Mount], path: Path, setting: str) -> Path:
    """By the innermost mount that holds `path`."""
    holding = [mount for mount in mounts if path.is_relative_to(mount.destination)]
    if not holding:
        raise BackendError(
            f"{path} is on no volume: mount one there, or set {setting} to what the host calls it"
        )
    innermost = max(holding, key=lambda mount: len(mount.destination))
    return Path(innermost.source) / path.relative_to(innermost.destination)
