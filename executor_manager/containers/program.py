"""What runs in a container of the process backend, and what its process is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from executor_manager.containers import keeping, places
from executor_manager.containers.backend import Container
from executor_manager.containers.places import Owner, Record
from executor_manager.containers.sandbox import Found, Sandbox, Wanted, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`argv`, with `environment` and nothing else of the manager's."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: Owner = field(default_factory=Owner)
    log_bytes: int = 4 * 1024 * 1024
    sandbox: Wanted = "none"
    readable: tuple[Path, ...] = ()
    """Of the host's files, in a sandbox; besides programs."""
    writable: tuple[Path, ...] = ()

    def find_sandbox(self, state_dir: Path) -> Found:
        return find(
            self.sandbox,
            argv=self.argv,
            environment=self.environment,
            owner=self.owner,
            state_dir=state_dir,
            readable=self.readable,
            writable=self.writable,
        )

    def launch(self, container: Container, place: Path, sandbox: Sandbox | None) -> keeping.Launch:
        record = places.read(place / places.RECORD, Record)
        home, owner = places.home(place), self.owner
        own = _told(container, place)
        if sandbox is None:
            own["BERTH_AGENT_PORT"] = "0"  # loopback is the host's: any that is free
        if record is not None and record.limits.disk_bytes is not None:
            own["BERTH_DISK_BYTES"] = str(record.limits.disk_bytes)
        return keeping.Launch(
            sandbox=sandbox.around(container.directories, home, owner) if sandbox else [],
            argv=list(self.argv),
            env={**self.environment, **(record.environment if record else {}), **own},
            cwd=str(home),
            uid=owner.uid,
            gid=owner.uid if owner.gid is None else owner.gid,
            groups=[],
            log_bytes=self.log_bytes,
        )


def _told(container: Container, place: Path) -> dict[str, str]:
    identity, made, home = container.identity, container.directories, str(places.home(place))
    return {
        "HOME": home,
        "BERTH_WORKER_ID": str(identity.worker_id),
        "BERTH_SESSION_ID": str(identity.session_id),
        "BERTH_PROJECT_ID": str(identity.project_id),
        "BERTH_EPOCH": str(identity.epoch),
        "BERTH_WORKSPACE_DIR": str(made.workspace),
        "BERTH_SPOOL_DIR": str(made.spool),
        "BERTH_CONTROL_DIR": str(made.control),
        "BERTH_AGENT_DIR": str(made.agent),
        "BERTH_HOME_DIR": home,
    }
