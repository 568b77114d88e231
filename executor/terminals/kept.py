"""A process of a person's own, under a keeper: when the keeper has ended, nothing of it is left."""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec

from executor.agents import keeper
from executor.agents.spared import Spared
from executor.identity import Identity, spawned_as

GRACE = 1.0
"""Seconds for its tree if the executor dies."""
END_SECONDS = 5.0
PAUSE = 0.02

UNLOCK_PTY = 0x40045431
"""TIOCSPTLCK of `ioctl_tty(2)`."""
PTY_NUMBER = 0x80045430
"""TIOCGPTN."""


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """As whom it runs, and who must know of it."""

    identity: Identity | None
    spared: Spared


class Kept:
    def __init__(self, process: asyncio.subprocess.Process, whose: Whose, mark: str) -> None:
        self._process = process
        self._whose = whose
        self._mark = mark
        whose.spared.add(process.pid)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        whose: Whose,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> Self:
        """`env` is the whole environment. Raises `OSError`."""
        mark = uuid4().hex
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", keeper.__file__, str(GRACE), str(cwd), "--", *command,
                env={**env, keeper.MARK: mark}, cwd="/", start_new_session=True,
                stdin=stdin, stdout=stdout, stderr=stderr, **spawned_as(whose.identity),
            )
        )  # fmt: skip
        try:
            # shielded: a start that is cancelled half-way would leave nobody to end it
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await cls(await starting, whose, mark).end()
            raise
        return cls(process, whose, mark)

    @property
    def pid(self) -> int:
        """The keeper's."""
        return self._process.pid

    async def wait(self) -> int:
        """The command's exit code, 128 + n after signal n."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def end(self) -> None:
        """At once; afterwards nothing of it is left."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        await self.clear()

    async def clear(self) -> None:
        """What a keeper leaves that was killed itself."""
        give_up = asyncio.get_running_loop().time() + END_SECONDS
        while left := [*self._below(), *keeper.marked(self._mark, keep=self.pid)]:
            if asyncio.get_running_loop().time() > give_up:
                break
            keeper.signal_all(left, signal.SIGKILL)
            await asyncio.sleep(PAUSE)
        self._signal(signal.SIGKILL)
        self._whose.spared.remove(self.pid)

    def _below(self) -> list[int]:
        return [] if self._process.returncode is not None else keeper.descendants(self.pid)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


def open_pty() -> tuple[int, int]:
    """Master and slave. Of whoever opens it: called in a thread with the agent's file identity.

    Not `os.openpty`: some C libraries look at the process's own uid, and refuse.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("/dev/ptmx", flags | os.O_NONBLOCK)
    try:
        fcntl.ioctl(master, UNLOCK_PTY, struct.pack("i", 0))
        (number,) = struct.unpack("i", fcntl.ioctl(master, PTY_NUMBER, b"\0" * 4))
        return master, os.open(f"/dev/pts/{number}", flags)
    except BaseException:
        os.close(master)
        raise
