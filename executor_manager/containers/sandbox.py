"""The process backend's sandbox: bubblewrap around a session's whole tree, executor included.

Namespaces of its own for processes, network, files, IPC and host name; of the host's files the
programs alone (`sandbox_files`), read-only, and of Berth's the session's own directories. Without
root it takes a user namespace, which a host may forbid, as root it takes none: whether it works is
tried, once, with all that a session's will have.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from executor_manager.containers.backend import Directories
from executor_manager.containers.errors import BackendError
from executor_manager.containers.places import Owner
from executor_manager.containers.sandbox_files import Unfit, above, mounts, named, programs

Wanted = Literal["auto", "bwrap", "none"]
PROGRAM = "bwrap"
DROPS_USER = "setpriv"
INSTALL = "install bubblewrap (apt-get install bubblewrap)"
TRY_SECONDS = 10.0
TMP_BYTES = 512 * 1024 * 1024
SHARED_MEMORY_BYTES = 64 * 1024 * 1024
HOST_NAME = "berth"
APART = (
    *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--hostname", HOST_NAME, "--die-with-parent", "--new-session"),
)
ENTER = 'umask 077 && cd "$0" && exec "$@"'
MEMORY = (
    *("--perms", "1777", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108  # its own
    *("--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"),  # noqa: S108  # its own
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    bwrap: str
    setpriv: str | None
    """For another user than ours."""
    files: tuple[Path, ...]
    writable: tuple[Path, ...] = ()

    def around(self, made: Directories, home: Path, owner: Owner) -> list[str]:
        """What comes before the program's own arguments. They are for all to read: no secrets."""
        own = [made.workspace, made.spool, made.control, made.agent, home, *self.writable]
        binds = [part for path in own for part in (*above(path), "--bind", str(path), str(path))]
        return [*self._apart(owner), *binds, *self._then(owner, home)]

    def trial(self, owner: Owner) -> list[str]:
        return [*self._apart(owner), *self._then(owner, Path("/")), "/bin/true"]

    def _apart(self, owner: Owner) -> list[str]:
        powers = ["--cap-drop", "ALL"]
        if owner.uid is not None:
            powers += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        # in this order: what is mounted may lie below /tmp
        return [self.bwrap, *APART, *powers, "--proc", "/proc", "--dev", "/dev", *MEMORY,
                *mounts(self.files)]  # fmt: skip

    def _then(self, owner: Owner, directory: Path) -> list[str]:
        end = ["--remount-ro", "/", "--chdir"]
        if owner.uid is None:
            return [*end, str(directory), "--"]
        group = owner.uid if owner.gid is None else owner.gid
        user = ["--reuid", str(owner.uid), "--regid", str(group), "--clear-groups"]
        # not yet that user, and root without its powers may not enter what is theirs
        enter = ["/bin/sh", "-c", ENTER, str(directory)]
        return [*end, "/", "--", str(self.setpriv), *user, "--", *enter]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    sandbox: Sandbox | None
    lacking: str = ""
    """Why there is none, and what would give one."""


def find(
    wanted: Wanted,
    *,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    owner: Owner,
    state_dir: Path,
    readable: tuple[Path, ...] = (),
    writable: tuple[Path, ...] = (),
) -> Found:
    """Blocks. Raises `BackendError`: it is wanted and cannot be had, or a path does not do."""
    if wanted == "none":
        return Found(sandbox=None, lacking="BERTH_SANDBOX is none")
    bwrap, setpriv = shutil.which(PROGRAM), shutil.which(DROPS_USER)
    if bwrap is None:
        return _none(wanted, f"{PROGRAM} is not here: {INSTALL}")
    if owner.uid is not None and setpriv is None:
        return _none(wanted, f"{DROPS_USER} is not here: install util-linux")
    try:
        further = named("BERTH_SANDBOX_READABLE", readable, hidden=state_dir)
        shared = named("BERTH_SANDBOX_WRITABLE", writable, hidden=state_dir)
        files = programs(argv, environment, hidden=state_dir, further=further)
    except Unfit as error:
        raise BackendError(str(error)) from error
    sandbox = Sandbox(bwrap=bwrap, setpriv=setpriv, files=files, writable=shared)
    if wrong := _tried(sandbox.trial(owner)):
        return _none(wanted, f"{PROGRAM} does not work here: {wrong}")
    return Found(sandbox=sandbox)


def _none(wanted: Wanted, lacking: str) -> Found:
    if wanted == "bwrap":
        raise BackendError(
            f"BERTH_SANDBOX is bwrap, and {lacking}; or set BERTH_SANDBOX to auto, and sessions run"
            " without one"
        )
    return Found(sandbox=None, lacking=lacking)


def _tried(command: list[str]) -> str:
    """What is wrong; empty: it works."""
    try:
        done = subprocess.run(
            command,
            env={"PATH": os.defpath},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip()
    why = said or f"exit code {done.returncode}"
    forbidden = "namespace" in why or "Operation not permitted" in why
    return f"{why} (does this host allow user namespaces?)" if forbidden else why
