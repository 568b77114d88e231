"""The first process of a session's tree, started by the process backend: one keeper per container.

It holds a lock for as long as it lives, so there is never a second one, whoever tries after
whatever crash. Whatever the session starts and abandons becomes its child (a subreaper), so that it
can prove that the whole tree is gone: when the executor ends, the keeper ends the rest, writes down
how it ended, and ends. It also keeps the log below its size.

    SIGTERM   asks the executor to end
    SIGUSR1   ends everything now

Only the standard library, and little of it: it starts with `-I -S` in a few milliseconds and stays
resident beside each session.
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from executor_manager.containers.procfs import boot_id, descendants, first_inside, look, send

LOCK = "keeper.lock"
LAUNCH = "launch.json"
"""Written by the backend: sandbox, argv, env, uid, gid, groups, log_bytes."""
STATUS = "process.json"
"""Written here: {boot_id, keeper, executor, state, exit_code, ended_at}."""
LOG = "log"
OLDER_LOG = "log.1"

ALREADY_KEPT = 75
NOT_STARTED = 127
SIGNALLED = 128
LOG_CHECK_SECONDS = 5.0
KILL_PAUSE = 0.01

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_SIGNALS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD}


def main(directory: str) -> int:
    os.chdir(directory)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # a record lock: it can be asked for without being taken, and no child inherits it
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return ALREADY_KEPT
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    launch = json.loads(Path(LAUNCH).read_bytes())
    status = {"boot_id": boot_id(), "keeper": _known(os.getpid()), "state": "starting"}
    _write(status)
    executor = _start(launch, libc)
    status |= {"executor": _known(executor), "state": "running"}
    _write(status)
    code = _keep(executor, launch)
    if launch["sandbox"] and code > SIGNALLED:
        code = SIGNALLED - code  # a sandbox ends by no signal of its executor's
    _end_all()
    status |= {"state": "exited", "exit_code": code, "ended_at": time.time()}
    _write(status)
    return 0


def _known(pid: int) -> list[int] | None:
    seen = look(pid)
    return [pid, seen.process.start] if seen else None


def _write(status: dict[str, Any]) -> None:
    """Durable before it is relied on."""
    beside = Path(f"{STATUS}.new")
    try:
        _dump(status, beside, "w")
        beside.replace(STATUS)
    except OSError:
        # on a full disk what is known must not get lost with us: the block is there already
        _dump(status, Path(STATUS), "r+")
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(here)
    os.close(here)


def _dump(status: dict[str, Any], path: Path, mode: str) -> None:
    with path.open(mode, encoding="ascii") as file:
        json.dump(status, file)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _start(launch: dict[str, Any], libc: ctypes.CDLL) -> int:
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become_executor(launch, libc, keeper)
        except BaseException as error:  # noqa: BLE001  # a forked child must never return
            os.write(2, f"the executor did not start: {error}\n".encode())
            os._exit(NOT_STARTED)
    return pid


def _become_executor(launch: dict[str, Any], libc: ctypes.CDLL, keeper: int) -> NoReturn:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if launch["uid"] is not None and not launch["sandbox"]:
        os.setgroups(launch["groups"])
        os.setresgid(launch["gid"], launch["gid"], launch["gid"])
        os.setresuid(launch["uid"], launch["uid"], launch["uid"])
    # a change of uid clears it, so it comes after; and the keeper may be gone already
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(NOT_STARTED)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(launch["cwd"])
    # another user is to pass through the directories that a sandbox makes, and sets it again
    os.umask(0o022 if launch["sandbox"] and launch["uid"] is not None else 0o077)
    argv = [*launch["sandbox"], *launch["argv"]]
    os.execve(argv[0], argv, launch["env"])  # noqa: S606  # wanted: no shell


def _keep(executor: int, launch: dict[str, Any]) -> int:
    """Until the executor has ended. Returns its exit code, or minus the signal's number."""
    while True:
        taken = signal.sigtimedwait(_SIGNALS, LOG_CHECK_SECONDS)
        number = taken.si_signo if taken else None
        if number == signal.SIGTERM:
            # a sandbox passes no signal on
            inside = first_inside(executor) if launch["sandbox"] else None
            _signal(inside or executor, signal.SIGTERM)
        elif number == signal.SIGUSR1:
            _signal(executor, signal.SIGKILL)
        if (code := _reap().get(executor)) is not None:
            return code
        if number is None:
            _trim_log(launch["log_bytes"])


def _signal(pid: int, number: signal.Signals) -> None:
    if seen := look(pid):
        send(seen.process, signal.SIGCONT)  # one that is stopped takes no SIGTERM
        send(seen.process, number)


def _reap() -> dict[int, int]:
    """Of all children that have ended: exit code by pid."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def _end_all() -> None:
    """Until no descendant is left: first all are stopped, so that none can start another."""
    while left := descendants(os.getpid()):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for seen in left:
                send(seen.process, number)
        _reap()
        time.sleep(KILL_PAUSE)
    _reap()


def _trim_log(size: int) -> None:
    """The file is written with O_APPEND: emptied, it goes on at its beginning."""
    log = Path(LOG)
    try:
        if log.stat().st_size <= size:
            return
        with log.open("rb") as file:
            file.seek(-size // 2, os.SEEK_END)
            tail = file.read(size // 2)
        os.truncate(LOG, 0)
        Path(OLDER_LOG).write_bytes(tail)
    except OSError as error:
        sys.stderr.write(f"the log could not be trimmed: {error}\n")
