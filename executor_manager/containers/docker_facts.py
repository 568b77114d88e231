"""What the engine and its host say of themselves, for the preflight to judge."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chassis.logs import get_logger
from executor_manager.containers.docker_engine import Engine, Info, Versions
from executor_manager.containers.docker_probe import DockerProbe
from executor_manager.containers.errors import BackendError
from executor_manager.containers.runtimes import Trial

MOUNTS = Path("/proc/self/mountinfo")
IO_URING = Path("/proc/sys/kernel/io_uring_disabled")
"""From Linux 6.6 on; 2: nobody may."""
LOOK_INSIDE = ("cat", "/proc/self/limits", "/proc/self/status")
_PROCESSES = re.compile(r"^Max processes +(\w+)", re.MULTILINE)
_SECCOMP = re.compile(r"^Seccomp:\s+(\d)$", re.MULTILINE)
_QUOTAS = frozenset({"prjquota", "pquota"})

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Where workspaces lie."""

    path: Path
    free_bytes: int
    total_bytes: int
    filesystem: str
    project_quota: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """As it looks from inside a container with the flags of a session's."""

    processes: int | None
    """Its limit of processes, counted over all sessions; None: there is none."""
    filtered: bool
    """Its system calls are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    info: Info
    versions: Versions
    volume: Volume | None
    io_uring_disabled: str
    """As the kernel says it; empty: it does not."""
    inside: Inside | None = None
    """None: nobody looked."""
    tried: Mapping[str, Trial] | None = None
    """Its runtimes that were; None: nobody tried any."""


def look(
    engine: Engine,
    info: Info,
    place: Path,
    printed: str = "",
    tried: Mapping[str, Trial] | None = None,
) -> Facts:
    """Raises `BackendError`. The kernel is the engine's host's: we run on the same. `printed`: what
    `look_inside` gave.
    """
    return Facts(
        info=info,
        versions=engine.versions(),
        volume=volume(place, MOUNTS.read_text().splitlines()),
        io_uring_disabled=IO_URING.read_text().strip() if IO_URING.exists() else "",
        inside=inside(printed),
        tried=tried,
    )


async def look_inside(probe: DockerProbe) -> str:
    """Empty where nothing could be run, which whoever starts a session will hear."""
    try:
        return (await probe.run(lambda _: LOOK_INSIDE)).text.decode(errors="replace")
    except BackendError as error:
        _log.warning("not_looked_inside", reason=error.reason, error=str(error))
        return ""


def inside(printed: str) -> Inside | None:
    """None: it does not tell."""
    limit = _PROCESSES.search(printed)
    filtering = _SECCOMP.search(printed)
    if limit is None or filtering is None:
        return None
    processes = None if limit[1] == "unlimited" else int(limit[1])
    return Inside(processes=processes, filtered=filtering[1] == "2")


def volume(place: Path, mountinfo: Sequence[str]) -> Volume | None:
    """None: it cannot be looked at."""
    try:
        usage = shutil.disk_usage(place)
        real = place.resolve(strict=True)
    except OSError:
        return None
    kind, options = _mount(PurePosixPath(real), mountinfo)
    return Volume(
        path=place,
        free_bytes=usage.free,
        total_bytes=usage.total,
        filesystem=kind,
        project_quota=bool(_QUOTAS & options),
    )


def _mount(path: PurePosixPath, mountinfo: Sequence[str]) -> tuple[str, frozenset[str]]:
    """The innermost one that holds it: its filesystem, and the options of that."""
    best, found = -1, ("", frozenset[str]())
    for line in mountinfo:
        fields = line.split()
        target = PurePosixPath(fields[4].replace("\\040", " "))
        after = fields[fields.index("-") + 1 :]
        # of two at the same place the later hides the former
        if path.is_relative_to(target) and len(target.parts) >= best:
            best, found = len(target.parts), (after[0], frozenset(after[2].split(",")))
    return found
