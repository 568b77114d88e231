"""A child service: started in its own session, watched, stopped, and found after our own crash.

The pid file is written right after the start and removed after the end. If we die in between, the
next run finds the process by it, compares its identity, and ends it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.embedded.access import User, switch
from cli.embedded.errors import StartFailed
from cli.embedded.identity import ProcessIdentity

KEPT_LOGS = 3
PLAIN_ENV = {"PATH": os.defpath, "LANG": "C.UTF-8"}
"""What every child gets; nothing of ours is inherited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    argv: tuple[str, ...]
    log_path: Path
    pid_path: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to `PLAIN_ENV`. Secrets go here or into files, never into `argv`."""
    user: User | None = None
    """None: as ourselves."""
    cwd: Path = Path("/")
    stop_signal: signal.Signals = signal.SIGTERM


class ServiceProcess:
    def __init__(self, service: Service) -> None:
        self.service = service
        self._child: subprocess.Popen[bytes] | None = None
        self._identity: ProcessIdentity | None = None

    @property
    def identity(self) -> ProcessIdentity | None:
        """Of the child, or of the one that a former run of ours left."""
        return self._identity or self.find_stale()

    def start(self) -> None:
        """Raises StartFailed when the program cannot be executed."""
        service = self.service
        service.log_path.parent.mkdir(parents=True, exist_ok=True)
        service.pid_path.parent.mkdir(parents=True, exist_ok=True)
        rotate(service.log_path)
        with service.log_path.open("ab") as log:
            self._child = self._spawn(log.fileno())
        self._identity = ProcessIdentity.of(self._child.pid)
        if self._identity is not None:
            write_whole(service.pid_path, f"{self._identity}\n")

    def running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self.identity is not None

    async def wait(self) -> int | None:
        """The exit code (negative: the signal); None if it was not our own child."""
        identity = self.identity
        if identity is not None:
            await identity.gone(within=None)
        return None if self._child is None else self._child.wait()

    async def stop(self, *, deadline: float = 10.0, how: signal.Signals | None = None) -> bool:
        """Asks, waits `deadline` seconds, then kills what is left of its session.

        True if asking was enough.
        """
        identity = self.identity
        obeyed = True
        if identity is not None:
            obeyed = await _end(identity, how or self.service.stop_signal, deadline)
        if self._child is not None:
            self._child.wait()
        self._child = self._identity = None
        self.service.pid_path.unlink(missing_ok=True)
        return obeyed

    def find_stale(self) -> ProcessIdentity | None:
        """The live process that the pid file names, if it is still that one."""
        try:
            found = ProcessIdentity.parse(self.service.pid_path.read_text())
        except FileNotFoundError:
            return None
        return found if found is not None and found.alive() else None

    async def end_stale(self, *, deadline: float = 10.0) -> bool:
        """Ends what a former run left; True if there was something."""
        if self._child is not None:
            return False
        found = self.find_stale() is not None
        await self.stop(deadline=deadline)
        return found

    def log_tail(self, lines: int = 12) -> str:
        return tail(self.service.log_path, lines)

    def _spawn(self, log: int) -> "subprocess.Popen[bytes]":
        service = self.service
        try:
            return subprocess.Popen(
                service.argv,
                env={**PLAIN_ENV, **service.env},
                cwd=service.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
                **switch(service.user),
            )
        except OSError as error:
            raise StartFailed(
                f"{service.name} could not be started: {error}. "
                f"Check that {service.argv[0]} exists and can be executed."
            ) from error


async def _end(identity: ProcessIdentity, how: signal.Signals, deadline: float) -> bool:
    identity.send(how)
    obeyed = await identity.gone(within=deadline)
    left = identity.session_members()
    if not obeyed:
        left.append(identity)
    for member in left:
        member.send(signal.SIGKILL)
    for member in left:
        await member.gone(within=deadline)
    return obeyed


async def ready_or_ended(
    process: ServiceProcess, *, within: float, probe: "asyncio.Task[None]"
) -> str:
    """Waits for `probe` or for the end of the process; gives `ready`, `ended` or `late`."""
    ended = asyncio.create_task(process.wait())
    try:
        done, _ = await asyncio.wait(
            {probe, ended}, timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in (probe, ended):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    if probe in done:
        probe.result()
        return "ready"
    return "ended" if ended in done else "late"


def rotate(path: Path) -> None:
    """`x.log` becomes `x.log.1`, and so on; the oldest goes."""
    for number in range(KEPT_LOGS, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def tail(path: Path, lines: int) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def write_whole(path: Path, text: str) -> None:
    """The file has its former content or all of the new one, never a part."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.replace(path)
