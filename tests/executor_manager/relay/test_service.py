"""The relay as a service of its own: uid 0 without a capability, but with a group more."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import contracts
from chassis.ids import new_id
from tests.executor_manager.relay.witness import (
    SECRET,
    Session,
    Witness,
    bind_agent,
    keep_secret,
)
from tests.executor_manager.relays import Relay
from tests.fixtures.engine import BASE_IMAGE, RealEngine

ROOT = Path(contracts.__path__[0]).parent
AGENT = 10001

UNPRIVILEGED = (
    *("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"),
    f"--groups={AGENT}",
)
"""What `cap_drop: [ALL]`, `group_add: [10001]` and `no-new-privileges` make of uid 0."""

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"POST /models/v1/messages HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
          b"Content-Length: 2\\r\\n\\r\\n{}")
sys.stdout.buffer.write(s.makefile("rb").read())
"""


IN_CONTAINER = (
    *("run", "--rm", "--init", "--read-only", "--network=host", "--cap-drop=ALL"),
    *(f"--group-add={AGENT}", "--security-opt=no-new-privileges", "--log-driver=none"),
    *("-e", "PYTHONPATH", "-e", "BERTH_RELAY_DIR", "-e", "BERTH_RELAY_SOCKETS_DIR"),
    *("-e", "BERTH_RELAY_CREDENTIALS_DIR", "-e", "BERTH_RELAY_WAIT_SECONDS"),
)


def make(top: Path, *prefix: str) -> Relay:
    relay = Relay(
        top / "relay",
        *prefix,
        RELAY_SOCKETS_DIR=str(top),
        RELAY_CREDENTIALS_DIR=str(top / "credentials"),
    )
    keep_secret(relay)
    (top / "credentials").chmod(0o700)
    (top / "credentials" / "key").chmod(0o400)
    return relay


def containerised(engine: RealEngine, top: Path, name: str) -> Relay:
    """On the project's own files and packages, with the image's interpreter."""
    seen = {path for path in sys.path if "site-packages" in path} | {str(ROOT)}
    mounts = [f"--volume={path}:{path}:ro" for path in sorted(seen)]
    mounts.append(f"--volume={top}:{top}")
    client = ("docker", f"--host={engine.host}")
    relay = make(top, *client, *IN_CONTAINER, *mounts, f"--name={name}", BASE_IMAGE)
    relay.python = "python"
    return relay


async def bind_as_in_a_container(relay: Relay, witness: Witness) -> Session:
    """Directories as the docker backend makes them; then the sockets."""
    worker_id = new_id()
    place = relay.directory.parent / str(worker_id)[-6:]
    for name, group, mode in (("control", 0, 0o700), ("agent", AGENT, 0o750)):
        (place / name).mkdir(parents=True)
        os.chown(place / name, 0, group)
        (place / name).chmod(mode)
    return await bind_agent(relay, witness.named(), worker_id=worker_id)


def ask_as(session: Session, *, uid: int, gid: int) -> bytes:
    """What a process of this identity gets on the agent's socket; empty: it does not reach it."""
    asked = subprocess.run(
        ["/usr/bin/env", "python3", "-c", ASK, str(session.agent.path)],
        user=uid,
        group=gid,
        extra_groups=[],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert asked.stdout or b"PermissionError" in asked.stderr, asked.stderr
    return asked.stdout


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


async def check_all(relay: Relay, witness: Witness) -> None:
    session = await bind_as_in_a_container(relay, witness)
    modes = {
        path.name: (stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid)
        for path in (session.agent.path, session.control.path, relay.admin_socket)
        for seen in [path.stat()]
    }
    assert modes == {
        "agent.sock": (0o660, 0, AGENT),
        "relay.sock": (0o600, 0, 0),
        "admin.sock": (0o600, 0, 0),
    }
    as_agent = await asyncio.to_thread(ask_as, session, uid=AGENT, gid=AGENT)
    assert as_agent.endswith(b"whole")
    assert await asyncio.to_thread(ask_as, session, uid=AGENT + 1, gid=AGENT + 1) == b""
    assert [seen.all("authorization") for seen in witness.seen] == [[f"Bearer {SECRET}"]]
    assert (await session.streams()).cuts == []

    former = (await relay.listing()).boot
    await relay.kill(signal.SIGTERM)
    assert not session.agent.path.exists()
    await relay.start()
    again = await relay.listing()
    assert (again.workers, again.boot != former) == ([], True)
    await bind_agent(relay, witness.named(), worker_id=session.control.worker_id)
    assert await asyncio.to_thread(ask_as, session, uid=AGENT, gid=AGENT)


@pytest.mark.root
async def test_without_a_capability__it_does_all_it_must(short_dir: Path, witness: Witness) -> None:
    async with make(short_dir, *UNPRIVILEGED) as relay:
        assert relay.process is not None
        told = status_of(relay.process.pid)
        none = "0" * 16
        assert {told[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {none}
        assert (told["Groups"].split(), told["Uid"].split()[1]) == ([str(AGENT)], "0")
        await check_all(relay, witness)


@pytest.mark.root
@pytest.mark.docker
async def test_in_a_container__it_does_all_it_must(
    engine: RealEngine, short_dir: Path, witness: Witness
) -> None:
    name = f"berth-test-relay-{short_dir.name}"
    try:
        async with containerised(engine, short_dir, name) as relay:
            await check_all(relay, witness)
            assert await relay.kill(signal.SIGTERM) == 0
    finally:
        for left in engine.client.containers.list(all=True, filters={"name": name}):
            left.remove(force=True)


async def test_what_it_is_not_told__it_does_not_know(short_dir: Path, witness: Witness) -> None:
    async with Relay(short_dir / "relay") as relay:
        session = await bind_agent(relay, witness.named())
        answer = await session.agent.ask("/models/v1/messages", body=b"{}")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"BERTH_RELAY_CREDENTIALS_DIR" in answer
    assert witness.seen == []
