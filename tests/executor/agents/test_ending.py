"""Every process of the agent's uid is ended, whatever it does to be forgotten or to go on."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from executor.agents import ending
from executor.agents.ending import end_all
from executor.agents.keeper import descendants
from executor.identity import Identity, spawned_as
from tests.executor.confined import nobody_left, own_identity

pytestmark = pytest.mark.root

SYSTEM_PYTHON = "/usr/bin/python3"

FORGOTTEN = """
import ctypes, os, signal, sys, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:  # until then that one is listed too
    time.sleep(0.01)
libc = ctypes.CDLL(None)
libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: its files in /proc are root's
def live():
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(600)
threading.Thread(target=live).start()
if sys.argv[1:] == ["leaderless"]:
    libc.pthread_exit(None)
"""
"""Forked twice, in a session of its own, deaf to SIGTERM, not readable."""

CHAIN = """
import os, time
ends = time.monotonic() + 150
os.write(1, b"on\\n")
while time.monotonic() < ends:
    if os.fork():
        os._exit(0)
"""
"""Each process only starts the next one: none is there when it is signalled. It ends by itself in
case that the test is killed."""

BOMB = """
import os, resource, time
ends = time.monotonic() + 150
resource.setrlimit(resource.RLIMIT_NPROC, (40, 40))
os.write(1, b"on\\n")
while time.monotonic() < ends:
    try:
        os.fork()
    except OSError:
        pass
"""


@pytest.fixture
def identity() -> Generator[Identity]:
    identity = own_identity()
    with nobody_left(identity):
        yield identity


def begun(identity: Identity, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [interpreter(), "-I", "-S", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        env={},
        cwd="/",
        **spawned_as(identity),
    )
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 20)[0], "it did not begin"
    return process


def interpreter() -> str:
    """One that any uid can run."""
    closed = any(not path.stat().st_mode & 0o001 for path in Path(sys.executable).resolve().parents)
    return SYSTEM_PYTHON if closed else sys.executable


@pytest.mark.parametrize("kind", [(), ("leaderless",)])
def test_end_all__a_daemon_that_is_not_to_be_seen(
    identity: Identity, kind: tuple[str, ...]
) -> None:
    process = begun(identity, FORGOTTEN, *kind)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.wait()
    if kind:
        wait_zombie(pid)
    assert identity.processes() == [pid]
    assert end_all(identity) == []
    assert identity.processes() == []
    assert process.stdout.read() == b""


def assert_all_gone(process: subprocess.Popen[bytes]) -> None:
    """Each of them holds the pipe."""
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 8) == b"on\n"
    assert select.select([process.stdout], [], [], 20)[0]
    assert process.stdout.read() == b""


def wait_zombie(pid: int) -> None:
    while ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        os.sched_yield()


@pytest.mark.parametrize(
    ("code", "without"), [(CHAIN, {}), (CHAIN, {"freeze": []}), (BOMB, {"freeze": []}),
                          (BOMB, {"_sweep": True})],
)  # fmt: skip
def test_end_all__what_multiplies(
    identity: Identity, code: str, without: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two ways alone; a chain is ended by the sweep alone, for no list shows it."""
    for way, answer in without.items():
        monkeypatch.setattr(ending, way, lambda _, answer=answer: answer)
    with begun(identity, code) as process:
        assert end_all(identity, deadline=100) == []
        assert_all_gone(process)


def test_end_all__a_chain_that_is_in_no_list(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(identity, CHAIN) as process:
        monkeypatch.setattr(Identity, "processes", lambda *_, **__: [])
        assert end_all(identity) == []
        assert_all_gone(process)


def test_end_all__gives_what_it_cannot_end(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "freeze", lambda _: [])
    monkeypatch.setattr(ending, "_sweep", lambda _: False)
    with begun(identity, "import os, time; os.write(1, b'on'); time.sleep(600)") as process:
        assert end_all(identity, deadline=0.1) == [process.pid]
        process.send_signal(signal.SIGKILL)


def test_descendants__a_process_whose_first_thread_ended_is_alive() -> None:
    code = FORGOTTEN.replace("os.fork()", "0").replace("os.setsid()", "")
    command = [sys.executable, "-c", code, "leaderless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        wait_zombie(process.pid)
        assert process.pid in descendants(os.getpid())
        process.kill()
