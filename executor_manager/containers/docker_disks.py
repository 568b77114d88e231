"""What holds sessions' disk limits on this host, and how their workspaces are mounted for it.

A workspace with a limit is a volume of the engine's, who mounts it when the container starts and
unmounts it when that has ended, after its own restart too. Only an image needs something before:
a loop device, which the helper `volumes` holds until the engine has mounted it.
"""

import contextlib
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import msgspec

from chassis.logs import get_logger
from contracts.disks import LINE_BYTES, AskDisk, DiskAnswer, DiskMeans, HoldDisk, TryDisk
from executor_manager.containers import places
from executor_manager.containers.backend import Limits
from executor_manager.containers.docker_engine import Engine
from executor_manager.containers.errors import NoSpace, StartFailed, Timeout, Unreachable
from executor_manager.containers.places import Owner, Record

MIB = 1024 * 1024
ANSWER_SECONDS = 20.0
"""A size that nobody asked for before is made first."""
NODE = "disk"
INODE_BYTES = 16 * 1024
MOST_INODES = 1_000_000

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOptions:
    helper: Path | None = None
    """The socket of `volumes`; None: there is none."""
    tmpfs_mib: int = 0
    """Limits up to this are held by memory, which does not outlive a container."""


class DockerDisks:
    """`look` first. All of it blocks."""

    def __init__(self, options: DiskOptions) -> None:
        self._options = options
        self.means: DiskMeans = "watch"
        self.problem = ""
        """Why the helper could not."""

    def look(self, engine: Engine, name: str) -> None:
        """Raises `BackendError` for a helper that is not there; one that cannot is told of."""
        if self._options.helper is not None:
            self.problem = self._tried()
            self.means = "watch" if self.problem else "image"
        if engine.holds_quota(name):
            self.means = "quota"
        _log.info("disk_limits", means=self.means, problem=self.problem)

    def means_for(self, limits: Limits) -> DiskMeans | None:
        if limits.disk_bytes is None:
            return None
        small = limits.disk_bytes <= self._options.tmpfs_mib * MIB
        return "tmpfs" if small else self.means

    @contextlib.contextmanager
    def held(self, record: Record | None) -> Generator[Callable[[], bool]]:
        """While its container is being started. Gives what tells whether it was lost meanwhile.
        Raises `NoSpace`, `StartFailed`; `Unreachable` or `Timeout` for a helper that is away.
        """
        limits = record.limits if record else Limits()
        if record is None or limits.disk_by != "image" or limits.disk_bytes is None:
            yield lambda: False
            return
        ask = HoldDisk(worker=places.short(record.name), mib=max(16, limits.disk_bytes // MIB))
        with self._asked(ask) as connection:
            yield lambda: _ended(connection)

    def _tried(self) -> str:
        try:
            with self._asked(TryDisk()):
                return ""
        except (NoSpace, StartFailed) as error:
            return str(error)

    @contextlib.contextmanager
    def _asked(self, ask: AskDisk) -> Generator[socket.socket]:
        """What it gives lasts until the end of the block, or of the connection."""
        helper = self._options.helper
        if helper is None:
            raise StartFailed(
                "its disk is an image, and there is no helper any more: set BERTH_VOLUMES_SOCKET"
            )
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.connect(str(helper))
                connection.sendall(msgspec.json.encode(ask) + b"\n")
                answer = msgspec.json.decode(_line(connection), type=DiskAnswer)
            except TimeoutError as error:
                raise Timeout("the helper `volumes` does not answer") from error
            except (OSError, msgspec.MsgspecError) as error:
                problem = f"the helper `volumes` does not answer at {helper}: {error}"
                raise Unreachable(problem) from error
            if answer.problem:
                what = f"the helper `volumes` could not: {answer.problem}"
                raise NoSpace(what) if answer.full else StartFailed(what)
            yield connection


def _ended(connection: socket.socket) -> bool:
    """By the other side, which says nothing more after its answer."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _line(connection: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\n"):
        if len(got) > LINE_BYTES or not (more := connection.recv(LINE_BYTES)):
            raise ConnectionResetError("it ended before its answer")
        got += more
    return got


def workspace_mount(
    limits: Limits, on_host: Path, target: str, *, name: str, labels: dict[str, str], owner: Owner
) -> dict[str, Any]:
    """`on_host`: the workspace's directory, as the engine's host sees it.

    How a bind propagates is left to the engine: below its own root, where volumes are, it refuses
    the private way.
    """
    match limits.disk_by:
        case None | "watch":
            return {"Type": "bind", "Source": str(on_host), "Target": target}
        case "quota":
            # by name: it holds the files, and must be found again by a container made anew
            options = {"size": str(limits.disk_bytes)}
            return {**_volume(target, options, labels), "Source": quota_volume(name)}
        case "image":
            options = {
                "type": "ext4",
                "device": str(on_host.parent / NODE),
                "o": "nosuid,nodev,discard",
            }
            return _volume(target, options, labels)
        case "tmpfs":
            options = {"type": "tmpfs", "device": "tmpfs", "o": _memory(limits, owner)}
            return _volume(target, options, labels)
        case _:
            assert_never(limits.disk_by)


def quota_volume(name: str) -> str:
    return f"{name}-workspace"


def _volume(target: str, options: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
    """Without a name it goes with its container: what is in it is elsewhere, or to be lost."""
    return {
        "Type": "volume",
        "Target": target,
        "VolumeOptions": {
            "NoCopy": True,
            "Labels": labels,
            "DriverConfig": {"Name": "local", "Options": options},
        },
    }


def _memory(limits: Limits, owner: Owner) -> str:
    size = limits.disk_bytes or 0
    inodes = min(MOST_INODES, max(1024, size // INODE_BYTES))
    own = f"uid={owner.uid},gid={owner.gid},mode=700"
    return f"nosuid,nodev,size={size},nr_inodes={inodes},{own}"
