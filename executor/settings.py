"""The executor's settings: the same in a process and in a container, and no secret in them."""

from pathlib import Path
from uuid import UUID

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    worker_id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    workspace_dir: Path
    """The only directory that is scanned and saved."""
    spool_dir: Path
    """0700: reports not yet acknowledged, and what must be known after a restart."""
    control_dir: Path
    """Holds `executor.sock`, bound here, and `relay.sock`, bound by the relay."""
    home_dir: Path
    """The agent's HOME; not saved, but for what is linked into the workspace."""
    agent_uid: int | None = None
    """In a container: whose identity the agent has, and every access to its files. None: ours."""
    agent_gid: int | None = None
    agent_dir: Path | None = None
    """Holds `agent.sock`, bound by the relay; None: no listener leads to it."""
    agent_port: int = 8119
    """On loopback inside, piped to `agent.sock`: where agents find their named upstreams. 0: any
    that is free."""
    agent_path: str = "/usr/local/bin:/usr/bin:/bin"
    """PATH, for agents and for finding them."""
    agent_profiles_dir: Path = Path("/etc/berth/agents")
    """Profiles of further agents; it need not be there."""
    model_base_url: str | None = None
    """What comes before `/v1`. None: of the upstream `models`, by the loopback listener's port."""
    warm: bool = False
    """Started before anybody asked: whose it becomes its control directory tells, and the ids above
    are nobody's (`executor.warm`)."""
    egress: tuple[str, ...] = ()
    """What tools find by the same port: of `pypi`, `npm`, `git` and `tunnel`, what the session's
    policy grants."""
    outage_grace_seconds: float = 900.0
    """Without any contact for so long, the agent is ended and the workspace kept."""
    checkpoint_interval_seconds: float = 30.0
    side_save_deadline_seconds: float = 300.0
    """How long a superseded worker tries to save aside."""
    spool_max_bytes: int = 256 * 1024 * 1024
    max_entries: int = 2_000_000
    """Files, directories and links in a workspace. Its manifest is one object of at most 64 MiB,
    about a million files with content: what is beyond is refused as `too_many_entries`."""
    max_bytes: int = 100 * 1024 * 1024 * 1024
    disk_bytes: int | None = None
    """The workspace's limit, where the kernel holds none: it is measured while an agent runs, and
    a run that is over it is ended."""
    disk_look_seconds: float = 5.0
    """Between two looks, at least."""
    boot_id: str = ""
    """Of the host, where a sandbox's kernel is not the host's. Empty: as the kernel tells."""
    cgroup_dir: Path | None = None
    """Of a container of our own: its count of processes that were ended for want of memory."""
    terminals: int = 8
    """Open at once in the session."""
    terminal_viewers: int = 16
    """Connected at once to one terminal."""
    terminal_scrollback_bytes: int = 1024 * 1024
    """Of what a terminal wrote last: told to whoever connects."""
    terminal_idle_seconds: float = 3600.0
    """A terminal in which nothing was typed or written for so long is closed."""
    terminal_detached_seconds: float = 14_400.0
    """One that nobody has looked at for so long is closed, whatever it does."""
    log_level: str = "info"
    trace_exporter: str = "none"
    failpoints: str = ""
    """For tests: see `chassis.failpoints`."""
