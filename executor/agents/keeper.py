"""Runs an agent and ends with it: the parent of the agent's whole process tree.

`python -I -S keeper.py GRACE DIRECTORY -- command …`, on its own with the standard library alone.
It enters the directory itself: who starts it may have no way in. As child subreaper it inherits
every orphan that the agent leaves (a daemon that forked twice, too), so the agent's tree is exactly
what descends from the keeper. It ends only when that tree has: the agent's own end takes what it
left behind along, and so does the end of the executor.

SIGTERM asks the tree to end, and kills it after GRACE seconds; SIGINT kills it at once. Its exit
code is the agent's, 128 + n after signal n.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MARK = "BERTH_AGENT_TREE"
"""The variable that marks an agent's processes, should the keeper itself be killed."""
FREEZE_ROUNDS = 50
GIVE_UP = 30.0
"""Seconds of killing: a process in an uninterruptible wait outlives SIGKILL."""
THREADS = 17
"""Field of `/proc/<pid>/stat`, counted behind the name (`man 5 proc`: num_threads)."""
FIRST_TO_DIE = "1000"
"""`oom_score_adj` of the agent, inherited by all of it: memory that it fills costs it its own
processes, not those that are to save its work, however eagerly their container is offered."""
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""By the interpreter, for itself: who inherits that hears of no reader that left."""
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


def descendants(root: int) -> list[int]:
    """Every living process below `root`, parents first. A zombie is gone, its children are not,
    nor are its other threads, if only its first one has ended.
    """
    children: dict[int, list[tuple[int, bool]]] = {}
    for pid, parent, alive in _processes():
        children.setdefault(parent, []).append((pid, alive))
    found: list[int] = []
    below = [root]
    for parent in below:
        for pid, alive in children.get(parent, []):
            below.append(pid)
            if alive:
                found.append(pid)
    return found


def _processes() -> Iterator[tuple[int, int, bool]]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - hundreds of entries, no Path for each
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        # The name stands in parentheses and may hold anything, parentheses too.
        fields = stat[stat.rindex(")") + 2 :].split()
        state, parent, threads = fields[0], fields[1], fields[THREADS]
        yield int(entry), int(parent), state not in {"Z", "X"} or int(threads) > 1


def marked(mark: str, *, keep: int) -> list[int]:
    """Every living process but `keep` that was started with this mark in its environment."""
    wanted = f"{MARK}={mark}".encode()
    found: list[int] = []
    for pid, _, alive in _processes():
        if pid == keep or not alive:
            continue
        try:
            environment = Path("/proc", str(pid), "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.append(pid)
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def freeze(found: Callable[[], list[int]]) -> list[int]:
    """Stops what is found until nothing new appears: what stands still starts no other process.

    What starts faster than it can be found goes on; there is an end to the rounds.
    """
    stopped: set[int] = set()
    for _ in range(FREEZE_ROUNDS):
        fresh = [pid for pid in found() if pid not in stopped]
        if not fresh:
            break
        signal_all(fresh, signal.SIGSTOP)
        stopped.update(fresh)
    return list(stopped)


def prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def become_subreaper() -> None:
    """Where the kernel of a sandbox has none, orphans are known by their uid, or by their mark."""
    with contextlib.suppress(OSError):
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def take_terminal() -> None:
    """One that is standard input becomes the new session's own."""
    if os.isatty(0):
        import fcntl  # noqa: PLC0415  # an agent has no terminal, and starts without it
        import termios  # noqa: PLC0415  # as above

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Keeper:
    def __init__(self, *, grace: float, directory: str) -> None:
        self._grace = grace
        self._directory = directory
        self._agent = 0
        self._status: int | None = None

    def run(self, command: list[str]) -> int:
        parent = os.getppid()
        become_subreaper()
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if os.getppid() != parent:
            return 1
        self._start(command)
        self._wait()
        self._kill_all()
        return 1 if self._status is None else self._status

    def _start(self, command: list[str]) -> None:
        self._agent = os.fork()
        if self._agent == 0:
            try:
                os.setsid()
                take_terminal()
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                for ours in IGNORED:
                    signal.signal(ours, signal.SIG_DFL)
                os.chdir(self._directory)
                with contextlib.suppress(OSError):  # it is offered more eagerly already
                    Path("/proc/self/oom_score_adj").write_text(FIRST_TO_DIE)
                os.execvpe(command[0], command, os.environ)  # noqa: S606, TID251 - no shell; the environment is handed on
            except OSError as error:
                where = os.fsdecode(error.filename or command[0])
                os.write(2, f"{where}: {error.strerror}\n".encode())
            finally:
                os._exit(127)
        # Only the agent may hold the pipes, or nobody would see it close them.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)

    def _wait(self) -> None:
        """Until the agent has ended, or has to be killed."""
        kill_at = float("inf")
        while self._status is None and time.monotonic() < kill_at:
            left = min(60.0, kill_at - time.monotonic())
            received = signal.sigtimedwait(SIGNALS, max(0.0, left))
            number = received.si_signo if received is not None else 0
            if number == signal.SIGTERM:
                signal_all(descendants(os.getpid()), signal.SIGTERM)
                kill_at = min(kill_at, time.monotonic() + self._grace)
            elif number == signal.SIGINT:
                return
            self._reap()

    def _kill_all(self) -> None:
        give_up = time.monotonic() + GIVE_UP
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # at one blow: of processes that only start the next one, no list shows any
            os.killpg(self._agent, signal.SIGKILL)
        while self._reap() and time.monotonic() < give_up:
            signal_all(freeze(lambda: descendants(os.getpid())), signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, 0.02)

    def _reap(self) -> bool:
        """Whether anything is left: as long as a descendant lives, there is a child of ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._agent:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(Keeper(grace=float(sys.argv[1]), directory=sys.argv[2]).run(sys.argv[4:]))
