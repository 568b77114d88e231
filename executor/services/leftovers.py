"""What a killed predecessor's agent may have left running: ended before anything goes on.

Its keeper ends the tree when the executor dies, but takes its grace for that; until then it could
still write into the workspace. Its processes are known by their uid; where that is ours too, by
their environment: marked as an agent's, with this session's HOME.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from chassis.logs import get_logger
from executor.agents.ending import end_all
from executor.agents.keeper import MARK
from executor.identity import Identity
from executor.workspace.errors import WorkspaceError

DEADLINE = 30.0
PAUSE = 0.05

_log = get_logger()


def end_leftovers(home: Path, identity: Identity | None) -> None:
    """Blocks until none is left. Raises `WorkspaceError`."""
    if identity is None:
        _end_marked(home)
    elif left := end_all(identity, deadline=DEADLINE):
        raise WorkspaceError("agent_still_running", f"processes {left}")


def _end_marked(home: Path) -> None:
    ends = time.monotonic() + DEADLINE
    while found := _agents_of(home):
        if time.monotonic() > ends:
            raise WorkspaceError("agent_still_running", f"processes {found}")
        _log.warning("agent_left_running", processes=found)
        for pid in found:
            _kill(pid)
        time.sleep(PAUSE)


def _agents_of(home: Path) -> list[int]:
    marks = (f"{MARK}=".encode(), b"HOME=" + os.fsencode(home))
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and _has(pid, *marks)]


def _has(pid: int, mark: bytes, home: bytes) -> bool:
    variables = _variables(pid)
    return home in variables and any(variable.startswith(mark) for variable in variables)


def _variables(pid: int) -> list[bytes]:
    """As any of its threads has them that has not ended: the first one may have. None of a zombie:
    that one is gone.
    """
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                if found := (thread / "environ").read_bytes():
                    return found.split(b"\0")
    return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
