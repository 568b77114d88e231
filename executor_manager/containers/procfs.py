"""Processes as /proc shows them. A pid alone says nothing: it is used again; pid and start do.

Only the standard library: the keeper, which imports this, starts without anything installed.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
GONE_STATES = frozenset({"Z", "X", "x"})
"""A zombie has ended; pid 1 of a container may take seconds to reap it."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    start: int
    """Clock ticks since boot: /proc/<pid>/stat, field 22."""


@dataclass(frozen=True, slots=True)
class Seen:
    process: Process
    parent: int
    state: str
    cpu_seconds: float
    memory_bytes: int

    @property
    def gone(self) -> bool:
        return self.state in GONE_STATES


def look(pid: int) -> Seen | None:
    """None: there is no such process any more."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # the command's name may hold spaces and parentheses: fields count from the last ")"
    fields = text[text.rindex(")") + 2 :].split()
    return Seen(
        process=Process(pid, int(fields[19])),
        parent=int(fields[1]),
        state=fields[0],
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        memory_bytes=int(fields[21]) * _PAGE,
    )


def alive(process: Process) -> bool:
    seen = look(process.pid)
    return seen is not None and seen.process == process and not seen.gone


def everyone() -> list[Seen]:
    found = (look(int(path.name)) for path in PROC.iterdir() if path.name.isdigit())
    return [seen for seen in found if seen is not None and not seen.gone]


def descendants(root: int) -> list[Seen]:
    """Without the root; children, their children, and so on."""
    children: dict[int, list[Seen]] = {}
    for seen in everyone():
        children.setdefault(seen.parent, []).append(seen)
    found: list[Seen] = []
    queue = [root]
    while queue:
        born = children.pop(queue.pop(), [])
        found += born
        queue += [seen.process.pid for seen in born]
    return found


def first_inside(outside: int) -> int | None:
    """What a sandbox was started for, by who waits for it outside: the second process of the pid
    namespace one below. None: there is none, or not yet.
    """
    depth = len(_numbers(outside))
    for seen in descendants(outside):
        numbers = _numbers(seen.process.pid)
        if len(numbers) == depth + 1 and numbers[-1] == "2":
            return seen.process.pid
    return None


def send(process: Process, number: signal.Signals) -> bool:
    """False: it is gone. Never reaches another process that was given its pid."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        seen = look(process.pid)
        if seen is None or seen.process != process:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def strays(marks: frozenset[bytes]) -> list[Seen]:
    """Processes whose environment has one of `marks` as a whole `NAME=value`."""
    return [seen for seen in everyone() if marks & _environment(seen.process.pid)]


def boot_id() -> str:
    """Of the host, in a container too."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _numbers(pid: int) -> list[str]:
    """Its pids, from our namespace inwards."""
    try:
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return []
    told = next((line for line in lines if line.startswith("NSpid:")), "")
    return told.split()[1:]


def _environment(pid: int) -> frozenset[bytes]:
    try:
        return frozenset((PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    except OSError:
        return frozenset()
