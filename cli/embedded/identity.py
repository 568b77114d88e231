"""Which process it is, beyond its pid: pids are recycled, pid with start time and boot are not.

Signals go through a pidfd that was opened before the identity was compared, so that a recycled pid
is never hit.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    pid: int
    started: int
    """Clock ticks since boot: field 22 of /proc/<pid>/stat."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """None when there is no such process, or only its zombie."""
        fields = _stat_fields(pid)
        if fields is None or fields[0] in {"Z", "X"}:
            return None
        return cls(pid, int(fields[19]), _BOOT.read_text().strip())

    @classmethod
    def parse(cls, text: str) -> "ProcessIdentity | None":
        parts = text.split()
        if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit()):
            return None
        return cls(int(parts[0]), int(parts[1]), parts[2])

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.boot}"

    def alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """False when the process is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    async def gone(self, *, within: float | None) -> bool:
        """Waits for the end; False when it is still there after `within` seconds."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        try:
            if not self.alive():
                return True
            loop.add_reader(descriptor, ended.set)
            await asyncio.wait_for(ended.wait(), within)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return True

    def session_members(self) -> list["ProcessIdentity"]:
        """The other processes of the session that this process leads or led."""
        if _stat_fields(self.pid) is not None and not self.alive() and not _is_zombie(self.pid):
            return []  # the pid is another process's now, and so would be the session
        members: list[ProcessIdentity] = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.pid:
                continue
            fields = _stat_fields(int(entry.name))
            if fields is None or int(fields[3]) != self.pid:
                continue
            member = ProcessIdentity.of(int(entry.name))
            if member is not None:
                members.append(member)
        return members


def _is_zombie(pid: int) -> bool:
    fields = _stat_fields(pid)
    return fields is not None and fields[0] == "Z"


def _stat_fields(pid: int) -> list[str] | None:
    """The fields after the command's name, from the state (field 3) on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
