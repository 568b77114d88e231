"""The port to whatever runs containers; every backend passes the same contract suite.

A container is identified by its name, which derives from the full session id and epoch; that of a
warm one, made before anybody asked, from its own worker id, until it is bound. Creating it
again adopts what is there, so an answer that was lost never makes a second one. Every call has a
deadline and never blocks the event loop. A backend that is away raises `Unreachable`, and nobody
concludes from that that a container is gone.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol
from uuid import UUID

from contracts.containers import ContainerChoice, ContainerOffer
from contracts.disks import DiskMeans
from contracts.preflight import PreflightFinding

NOBODY = UUID(int=0)


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

    @classmethod
    def warm(cls, worker_id: UUID) -> "Identity":
        """Nobody's yet."""
        return cls(worker_id=worker_id, session_id=NOBODY, project_id=NOBODY, epoch=0)

    @property
    def is_warm(self) -> bool:
        return self.session_id == NOBODY

    @property
    def name(self) -> str:
        if self.is_warm:
            return f"berth-warm-{self.worker_id}"
        return f"berth-{self.session_id}-{self.epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None: the host's. A backend that cannot hold a limit says so in its capabilities."""

    cpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    pids: int | None = None
    disk_by: DiskMeans | None = None
    """What holds `disk_bytes`: a backend's own choice, of those that are asked for always None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    identity: Identity
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Besides what the backend sets itself (BERTH_WORKER_ID, directories, …). No secrets."""
    choice: ContainerChoice = field(default_factory=ContainerChoice)
    """The app's; checked against `ContainerBackend.offer` before anything is made."""
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
    image: str = ""
    """The id of what it was made of; empty where there are no images."""
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
    warm: list[Container] = field(default_factory=list[Container])
    """Nobody's yet, so none of `containers`."""


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
    """By the kernel: whoever writes over it is told that there is no space."""
    separate_user: bool
    """The executor runs as another uid than the manager."""
    disk_means: DiskMeans = "watch"
    """What holds sessions' disk limits."""
    system_call_filter: bool = False
    untrusted: bool = False
    """Its host is fit for sessions of that tier."""
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

    @property
    def offer(self) -> ContainerOffer:
        """What of an app's choice it grants; all else it refuses."""
        ...

    @property
    def preflight(self) -> Sequence[PreflightFinding]:
        """What `open` found of the host."""
        ...

    @property
    def keeps_warm(self) -> bool:
        """Whether it can `bind`."""
        ...

    def disk_means(self, limits: Limits) -> DiskMeans | None:
        """What would hold the disk limit of one made now; None: there is none to hold."""
        ...

    async def open(self) -> None:
        """Checks what it needs, before any work is accepted."""
        ...

    async def close(self) -> None: ...

    async def adopt_or_create(self, spec: ContainerSpec) -> Container:
        """Makes the container and its directories, or finds it; does not start it. Raises `Refused`
        before anything is made.
        """
        ...

    async def bind(self, name: str, identity: Identity, egress: Sequence[str] = ()) -> Container:
        """A warm container that is paused becomes this session's, once, and goes by its name from
        then on; its tools find `egress`. Recorded when it returns; it stays paused. Raises
        `NameTaken` where the session has a container here, `Missing`, `StartFailed` for one that
        is not paused.
        """
        ...

    async def image(self) -> str:
        """What `Container.image` would be of one made now, of no image in particular."""
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
