"""A voyage on a kernel that lacks calls, as a sandbox's own: gVisor has no `setfsuid`, older ones
neither `pidfd_open` nor subreapers. A filter of system calls answers in their place.
"""

import asyncio
import shlex
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.embedded.runtime import Runtime
from contracts.executors import ExecutorPhase
from executor.identity import Identity
from tests.executor.confined import confined, give, nobody_left, own_identity, readable_runtime
from tests.executor.outside import Outside

pytestmark = pytest.mark.root

SPARSE = """
import ctypes, errno, os, struct, sys
from executor.call_filter import (
    ALLOW, ARGUMENT_AT, CALL_AT, EQUALS, LOAD, PR_SET_SECCOMP, RETURN, SECCOMP_MODE_FILTER,
    _Program,
)
SUBREAPER = 36
known = {"x86_64": (157, 122, 123, 434), "aarch64": (167, 151, 152, 434)}
prctl, *absent = known[os.uname().machine]
lines = [(LOAD, 0, 0, CALL_AT)]
for call in absent:
    lines += [(EQUALS, 0, 1, call), (RETURN, 0, 0, 0x00050000 | errno.ENOSYS)]
lines += [(EQUALS, 0, 3, prctl), (LOAD, 0, 0, ARGUMENT_AT), (EQUALS, 0, 1, SUBREAPER)]
lines += [(RETURN, 0, 0, 0x00050000 | errno.EINVAL), (RETURN, 0, 0, ALLOW)]
filled = _Program(len(lines), b"".join(struct.pack("=HBBI", *line) for line in lines))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filled), 0, 0) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs the rest of its arguments."""

LACKS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert libc.setfsuid(0) == -1 and ctypes.get_errno() == 38
assert libc.prctl(36, 1, 0, 0, 0) == -1 and ctypes.get_errno() == 22
try:
    os.pidfd_open(os.getpid())
except OSError as error:
    assert error.errno == 38
    print("it lacks them")
"""

LEFT = "trap '' TERM; echo up > up; while :; do sleep 1; done"

STRANGER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
uid, pid = int(sys.argv[1]), int(sys.argv[2])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
for thread in os.listdir(f"/proc/{pid}/task"):
    told = libc.tgkill(pid, int(thread), 0), libc.ptrace(16, int(thread), 0, 0)
    print(*told)
"""
"""Signals and traces each thread, as the agent's uid. 16: PTRACE_ATTACH."""


@pytest.fixture(scope="session")
def runtime() -> Generator[Runtime]:
    with readable_runtime() as runtime:
        yield runtime


@pytest.fixture
def identity(place: Path) -> Generator[Identity]:
    identity = own_identity()
    give(place, identity)
    with nobody_left(identity):
        yield identity


@pytest.fixture
def sparse(runtime: Runtime) -> tuple[str, ...]:
    return (str(runtime.python), "-P", "-c", SPARSE)


def run(command: list[str], runtime: Runtime) -> str:
    done = subprocess.run(
        command, env=runtime.env, cwd="/", capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_voyage__where_the_kernel_has_not_all_calls(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity, sparse: tuple[str, ...]
) -> None:
    own = str(runtime.python)
    assert await asyncio.to_thread(run, [*sparse, own, "-c", LACKS], runtime) == "it lacks them\n"
    known = {"kernel": sparse, "boot_id": "of the host"}
    async with confined(place, outside, runtime, identity, **known) as executor:
        await executor.phase(ExecutorPhase.READY)
        daemon = f"env -i setsid sh -c {shlex.quote(LEFT)} > /dev/null 2>&1 &"
        await executor.start(
            {"shell": daemon, "detach": True},
            {"shell": "until test -e up; do sleep 0.01; done; umask 077; echo mine > closed"},
            {"text": "done"},
        )
        assert (await executor.finish()).state == "succeeded"
        assert identity.processes() == [], "what it left behind is ended"
        found = place / "workspace" / "closed"
        assert (found.stat().st_uid, found.read_text()) == (identity.uid, "mine\n")
        assert outside.events("run.warning") == [], "its own files are read, and saved"
        threads = await asyncio.to_thread(stranger, executor.process.pid, runtime, identity)
        assert '"boot_id":"of the host"' in (place / "spool" / "spool.json").read_text()
        assert len(threads) > 8
        assert {*threads} == {"-1 -1"}, "none of the executor's is the agent's to signal or trace"


def stranger(pid: int, runtime: Runtime, identity: Identity) -> list[str]:
    command = ["/usr/bin/python3", "-c", STRANGER, str(identity.uid), str(pid)]
    return run(command, runtime).splitlines()


@pytest.mark.parametrize("directory", ["workspace", "spool"])
def test_threads__have_the_agents_leave_and_no_more(
    place: Path, runtime: Runtime, identity: Identity, sparse: tuple[str, ...], directory: str
) -> None:
    """Root's files are not theirs, as with the file-system identity alone."""
    code = """
import asyncio, os, sys
from executor.identity import Identity
from executor.threads import AgentThreads
async def main(uid, place):
    threads = AgentThreads(Identity(uid, uid))
    try:
        await threads.run(os.mkdir, f"{place}/made")
        print(os.stat(f"{place}/made").st_uid)
    except PermissionError:
        print("refused")
    print(os.geteuid(), os.getegid())
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""
    command = [*sparse, str(runtime.python), "-c", code, str(identity.uid)]
    own = identity.uid if directory == "workspace" else "refused"
    assert run([*command, str(place / directory)], runtime) == f"{own}\n0 0\n"
