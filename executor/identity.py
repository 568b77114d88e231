"""Whose files and processes the agent's are, where these are not the executor's own.

In a container the first process is uid 0 with SETUID, SETGID and KILL alone: it may become another
and signal another, and the file system refuses it what is not root's. What it does with the agent's
files it does in threads that have the agent's *file-system* identity (`setfsuid(2)`, of one thread
alone), which no process of the agent can signal or trace, as it could a helper of its own uid.
"""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import msgspec

ASK = 0xFFFFFFFF
"""No valid id: `setfsuid` then only tells which one is in force. Neither call has an error."""

ABSENT = (-1, -1)
"""What both then tell where the kernel does not have them, which a sandbox's own need not."""
EFFECTIVE = {"x86_64": (117, 119), "aarch64": (147, 149)}
"""`setresuid` and `setresgid` of one thread alone: the C library's are for all of a process."""

_libc = ctypes.CDLL(None)
_libc.setfsuid.argtypes = _libc.setfsgid.argtypes = [ctypes.c_uint32]
_libc.syscall.argtypes = [ctypes.c_long] * 4

UMASK = 0o022


class Spawn(TypedDict, total=False):
    """How `subprocess` starts a process as somebody else; nothing for the executor's own identity.

    The kernel takes every capability from what leaves uid 0; with `no_new_privs` none comes back.
    """

    user: int
    group: int
    extra_groups: list[int]
    umask: int


class Identity(msgspec.Struct, frozen=True):
    uid: int
    gid: int

    def take_on_files(self) -> None:
        """The calling thread opens, makes and owns files as the agent from here on.

        Raises `PermissionError` if the kernel did not do it.
        """
        _libc.setfsgid(self.gid)
        _libc.setfsuid(self.uid)
        now = (_libc.setfsuid(ASK), _libc.setfsgid(ASK))
        if now == ABSENT:
            now = self._take_on_all()
        if now != (self.uid, self.gid):
            raise PermissionError(f"file identity {self.uid}:{self.gid} was refused: it is {now}")

    def _take_on_all(self) -> tuple[int, int]:
        """By the effective ids, which go along with those of the file system. The real and the
        saved ones stay root's, and by these a signal or a trace would be allowed.
        """
        of_user, of_group = EFFECTIVE.get(os.uname().machine, ABSENT)
        # the group first: without root's uid it could not be changed
        _libc.syscall(of_group, -1, self.gid, -1)
        _libc.syscall(of_user, -1, self.uid, -1)
        return os.geteuid(), os.getegid()

    def beside(self) -> "Identity":
        """For a helper of ours: of the agent's group, but out of the reach of its uid."""
        return Identity(self.uid + 1, self.gid)

    def processes(self, *, keep: frozenset[int] = frozenset()) -> list[int]:
        """Every living process of this uid but `keep`: the agent's, whatever it did to its parents,
        its group or its environment.
        """
        return [pid for pid, alive in self._owned() if alive and pid not in keep]

    def _owned(self) -> Iterator[tuple[int, bool]]:
        for entry in os.listdir("/proc"):  # noqa: PTH208  # no Path for each
            if not entry.isdigit():
                continue
            try:
                # readable by anybody, unlike what else is known of another's process
                status = Path("/proc", entry, "status").read_text(errors="replace")
            except OSError:
                continue
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            real, effective, saved, _ = map(int, fields["Uid"].split())
            if self.uid in {real, effective, saved}:
                yield int(entry), is_alive(fields["State"][0], int(fields["Threads"]))


def is_alive(state: str, threads: int) -> bool:
    """A zombie is gone, unless only its first thread is."""
    return state not in {"Z", "X"} or threads > 1


def spawned_as(identity: Identity | None) -> Spawn:
    if identity is None:
        return Spawn()
    return Spawn(user=identity.uid, group=identity.gid, extra_groups=[], umask=UMASK)


def identity_of(uid: int | None, gid: int | None) -> Identity | None:
    """None: the agent is whoever the executor is."""
    if uid is None:
        return None
    return Identity(uid, uid if gid is None else gid)
