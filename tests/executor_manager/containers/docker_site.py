"""Where the docker backend's tests have their engine and their directories."""

from pathlib import Path

from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite


def site(host: str, short_dir: Path, call_seconds: float = 30.0) -> DockerSite:
    volumes = Volumes(short_dir / "s", short_dir / "k")
    return DockerSite(host=host, call_seconds=call_seconds, volumes=volumes)
