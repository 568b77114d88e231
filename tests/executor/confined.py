"""An executor as in a container: uid 0 with three capabilities, its agent another uid with none.

What it must not do is refused by the kernel, as there. It runs on a copy of our packages that the
agent's uid can read, for a clone below /root cannot be.
"""

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from cli.embedded.access import User
from cli.embedded.runtime import Runtime, prepare_runtime
from contracts.commands import AnyCommand
from executor.agents.ending import end_all
from executor.identity import Identity
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, Process, settings_at, variables_of

CONFINED = (
    "setpriv", "--bounding-set=-all,+setuid,+setgid,+kill", "--inh-caps=-all", "--no-new-privs",
)  # fmt: skip


def own_identity() -> Identity:
    """Of this test process alone: every process of that uid may be ended."""
    uid = 100_000 + os.getpid() * 2
    return Identity(uid, uid)


@contextmanager
def readable_runtime() -> Generator[Runtime]:
    identity = own_identity()
    home = Path(tempfile.mkdtemp(prefix="berth-runtime-", dir="/tmp"))
    home.chmod(0o755)
    try:
        yield prepare_runtime(home, user=User(uid=identity.uid, gid=identity.gid))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def give(place: Path, identity: Identity) -> None:
    """The four directories, with the owners that a manager gives them."""
    place.chmod(0o711)
    for name, owner, group, mode in (
        ("workspace", identity.uid, identity.gid, 0o700),
        ("home", identity.uid, identity.gid, 0o700),
        ("agent", 0, identity.gid, 0o750),
    ):
        directory = place / name
        directory.mkdir(exist_ok=True)
        directory.chmod(mode)
        os.chown(directory, owner, group)


@contextmanager
def nobody_left(identity: Identity) -> Generator[None]:
    """Whatever a failing test leaves running."""
    try:
        yield
    finally:
        end_all(identity)


def free_port() -> int:
    """Beneath those that connections are given: none takes it before the executor does."""
    above = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(above // 2, above)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


class Confined(Process):
    async def deliver(self, *commands: AnyCommand) -> list[UUID]:
        """Again until it is taken, as a manager does: its first start compiles what it loads."""
        async with asyncio.timeout(DEADLINE * 3):
            while not (done := await super().deliver(*commands)):
                continue
        return done


@asynccontextmanager
async def confined(
    place: Path,
    outside: Outside,
    runtime: Runtime,
    identity: Identity,
    *,
    kernel: tuple[str, ...] = (),
    **changes: Any,
) -> AsyncGenerator[Confined]:
    """`kernel`: what runs it, on another one."""
    settings = settings_at(place, agent_uid=identity.uid, agent_gid=identity.gid, **changes)
    known = Confined(place, outside, settings.epoch)
    variables = variables_of(settings)
    with (place / "executor.log").open("ab") as log:
        known.process = subprocess.Popen(  # noqa: ASYNC220  # a fork, no wait
            [*kernel, *CONFINED, str(runtime.python), "-P", "-m", "executor"],
            # root writes what it compiles beside it: the next start is a usual one
            env={"PATH": os.defpath, **runtime.env, **variables, "PYTHONDONTWRITEBYTECODE": ""},
            stderr=log,
            cwd="/",
        )
    try:
        yield known
    finally:
        await known.aclose()
        if known.process.poll() is None:
            known.process.terminate()
            await known.gone()
