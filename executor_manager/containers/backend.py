"""The port to whatever runs containers; every backend passes the same contract suite.

A container is identified by its name, which derives from the full session id and epoch. Creating it
again adopts what is there, so an answer that was lost never makes a second one. Every call has a
deadline and never blocks the event loop. A backend that is away raises `Unreachable`, and nobody
concludes from that that a container is gone.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol
from uuid import UUID


class ContainerState(enum.StrEnum):
    CREATED = "created"
    """Made, never started."""
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose container it is: the labels."""

    worker_id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int

    @property
    def name(self) -> str:
        return f"berth-{self.session_id}-{self.epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None: the host's. A backend that cannot hold a limit says so in its capabilities."""

    cpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    identity: Identity
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Besides what the backend sets itself (BERTH_WORKER_ID, directories, …). No secrets."""
    image: str | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """As the manager's host sees them: siblings, never nested."""

    workspace: Path
    spool: Path
    control: Path
    agent: Path
    home: Path | None = None
    """None: it is in memory, inside the container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    identity: Identity
    state: ContainerState
    directories: Directories
    exit_code: int | None = None
    """Of the executor; negative is a signal's number."""
    out_of_memory: bool = False
    tree_gone: bool = False
    """Exited, and proven that no process of it is left: only then it may be started again."""
    stopped_at: float | None = None
    """Seconds since the epoch, for waiting only."""

    @property
    def name(self) -> str:
        return self.identity.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    containers: list[Container]
    strangers: list[str]
    """Have our label or place and cannot be identified: reported, never touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    memory_bytes: int
    cpu_seconds: float
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend really does; `berth doctor` shows it."""

    own_network: bool
    own_filesystem: bool
    own_processes: bool
    memory_limit: bool
    cpu_limit: bool
    disk_limit: bool
    separate_user: bool
    """The executor runs as another uid than the manager."""
    not_isolated: tuple[str, ...]
    """One sentence for each promise that this backend does not keep."""

    def kept(self) -> dict[str, bool]:
        """By name, without the sentences."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, bool)}


class ContainerBackend(Protocol):
    """Raises `BackendError` and nothing else of its own."""

    @property
    def kind(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def open(self) -> None:
        """Checks what it needs, before any work is accepted."""
        ...

    async def close(self) -> None: ...

    async def adopt_or_create(self, spec: ContainerSpec) -> Container:
        """Makes the container and its directories, or finds it; does not start it."""
        ...

    async def start(self, name: str) -> Container:
        """Of one that runs: nothing. Starts again what has exited, with the same directories."""
        ...

    async def stop(self, name: str, grace: float) -> Container:
        """Asks it to end; after `grace` seconds ends every process of it. Of a stopped: nothing."""
        ...

    async def pause(self, name: str) -> Container: ...

    async def resume(self, name: str) -> Container: ...

    async def remove(self, name: str) -> None:
        """With its directories. Raises `Running`; of one that is gone: nothing."""
        ...

    async def get(self, name: str) -> Container | None: ...

    async def list(self) -> Listing: ...

    async def stats(self, name: str) -> Stats: ...

    async def logs(self, name: str, size: int = 64 * 1024) -> bytes:
        """The last `size` bytes of what it printed."""
        ...

    def address(self, container: Container) -> Path:
        """Where its executor listens: a Unix socket."""
        ...
