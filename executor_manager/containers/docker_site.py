"""Which engine the docker backend asks, and where its directories are: here and for that engine."""

from dataclasses import dataclass
from pathlib import Path

from executor_manager.containers.docker_engine import Engine
from executor_manager.containers.docker_host_paths import host_path
from executor_manager.containers.docker_places import Volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerSite:
    host: str
    call_seconds: float
    volumes: Volumes
    state_host_dir: Path | None = None
    """As the engine's host sees the volumes; None: it is found out."""
    sockets_host_dir: Path | None = None

    def on_host(self, engine: Engine) -> Volumes:
        """Raises `BackendError`."""
        state, sockets = self.volumes.state, self.volumes.sockets
        return Volumes(
            state=self.state_host_dir or host_path(engine, state, "BERTH_STATE_HOST_DIR"),
            sockets=self.sockets_host_dir or host_path(engine, sockets, "BERTH_SOCKETS_HOST_DIR"),
        )
