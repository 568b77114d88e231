"""Starting keepers and asking about them. All of it blocks: the backend calls it in threads."""

import fcntl
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from signal import Signals

import msgspec

from executor_manager.containers import keeper, places
from executor_manager.containers.errors import StartFailed, Timeout
from executor_manager.containers.procfs import (
    Process,
    Seen,
    alive,
    boot_id,
    descendants,
    first_inside,
    look,
    send,
    strays,
)

POLL_SECONDS = 0.005
_PACKAGES = Path(__file__).parent.parent.parent
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from executor_manager.containers.keeper import main; sys.exit(main(sys.argv[2]))"
)
_RECORD_LOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    sandbox: list[str] = []
    """What runs `argv`, apart and as `uid`; empty: the keeper itself does."""
    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int | None
    gid: int | None
    groups: list[int]
    log_bytes: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper wrote: pids with their start times."""

    boot_id: str
    keeper: tuple[int, int]
    state: str
    executor: tuple[int, int] | None = None
    exit_code: int | None = None
    ended_at: float | None = None


def status(place: Path) -> Status | None:
    """None: it was never started."""
    return places.read(place / keeper.STATUS, Status)


def kept(place: Path) -> bool:
    """Whether a keeper lives: it holds its lock, which is asked for without being taken."""
    try:
        descriptor = os.open(place / keeper.LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        asked = _RECORD_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        held = _RECORD_LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return held[0] != fcntl.F_UNLCK


def tree_gone(found: Status | None) -> bool:
    """For one that is not kept: was its end witnessed? A keeper that was killed saw none."""
    return found is not None and (found.state == "exited" or found.boot_id != boot_id())


def spawn(place: Path, launch: Launch) -> subprocess.Popen[bytes]:
    places.write(place / keeper.LAUNCH, launch)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(place / keeper.LOG, flags, 0o600)
    try:
        if launch.uid is not None:
            os.fchown(log, launch.uid, -1)  # it may open its /dev/stderr by name
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, str(_PACKAGES), str(place)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={},
            start_new_session=True,
        )
    finally:
        os.close(log)


def wait_started(place: Path, child: subprocess.Popen[bytes], deadline: float) -> None:
    """Raises `StartFailed`, `Timeout`. Another keeper than `child` may be the one that lives."""
    ends = time.monotonic() + deadline
    while time.monotonic() < ends:
        found = status(place)
        if found is not None and found.executor is not None and _of(found, place, child):
            return
        code = child.poll()
        if code is not None and code != keeper.ALREADY_KEPT and not kept(place):
            raise StartFailed(f"the keeper ended with {code}: {tail(place, 2000)!r}")
        time.sleep(POLL_SECONDS)
    raise Timeout("the executor's process did not start in time")


def _of(found: Status, place: Path, child: subprocess.Popen[bytes]) -> bool:
    # what a former keeper wrote must not be taken for this one's word
    own = found.keeper[0] == child.pid
    return own or (kept(place) and alive(Process(*found.keeper)))


def tree(place: Path) -> list[Seen]:
    """The executor and all its descendants, without the keeper; empty when it is not kept."""
    found = status(place)
    if found is None or not kept(place) or not alive(Process(*found.keeper)):
        return []
    return descendants(found.keeper[0])


def signal_keeper(place: Path, number: Signals) -> bool:
    found = status(place)
    return found is not None and kept(place) and send(Process(*found.keeper), number)


def signal_tree(place: Path, number: Signals, deadline: float) -> None:
    """Again until no process is new: one that was not yet stopped may have started another."""
    told: set[Process] = set()
    ends = time.monotonic() + deadline
    while new := [seen.process for seen in tree(place) if seen.process not in told]:
        for process in new:
            send(process, number)
        told.update(new)
        if time.monotonic() > ends:
            raise Timeout("processes are started faster than they can be signalled")


def wait_gone(place: Path, deadline: float) -> bool:
    ends = time.monotonic() + deadline
    while kept(place):
        if time.monotonic() > ends:
            return False
        time.sleep(POLL_SECONDS)
    return True


def kill_strays(place: Path, deadline: float) -> bool:
    """What a killed keeper could not end, found by the HOME it was given. False: some are left."""
    home = os.fsencode(places.home(place))
    marks = frozenset({b"HOME=" + home, b"BERTH_HOME_DIR=" + home})
    ends = time.monotonic() + deadline
    while left := strays(marks):
        if time.monotonic() > ends:
            return False
        for seen in left:
            send(seen.process, Signals.SIGKILL)
        time.sleep(POLL_SECONDS)
    return True


def executor_seen(place: Path) -> Seen | None:
    """Itself, and not the sandbox that waits for it."""
    found, launch = status(place), places.read(place / keeper.LAUNCH, Launch)
    if found is None or found.executor is None:
        return None
    seen = look(found.executor[0])
    if seen is None or seen.process != Process(*found.executor):
        return None
    if launch is None or not launch.sandbox:
        return seen
    inside = first_inside(seen.process.pid)
    return None if inside is None else look(inside)


def tail(place: Path, size: int) -> bytes:
    """The log's last `size` bytes, its former part included."""
    parts: list[bytes] = []
    for name in (keeper.OLDER_LOG, keeper.LOG):
        try:
            with (place / name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - size))
                parts.append(file.read(size))
        except OSError:
            continue
    return b"".join(parts)[-size:]
