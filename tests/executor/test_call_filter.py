"""The filter of system calls, in processes of their own: it cannot be taken off again."""

import errno
import json
import platform
import subprocess
import sys
from typing import Any

import pytest

from executor.call_filter import (
    ALLOW,
    ARCHITECTURE_AT,
    ARGUMENT_AT,
    CALL_AT,
    EQUALS,
    FAMILIES,
    FOREIGN_CALLS,
    IO_URING,
    LOAD,
    MACHINES,
    REFUSE,
    RETURN,
    Line,
    lines,
)
from tests.architecture.sources import ROOT

pytestmark = pytest.mark.skipif(
    platform.machine() not in MACHINES, reason=f"a filter is known for {', '.join(MACHINES)}"
)

ASK = """
import ctypes, json, os, socket, subprocess, sys, threading
from executor.call_filter import IO_URING, MACHINES, refuse_calls
libc = ctypes.CDLL(None, use_errno=True)
pair = (ctypes.c_int * 2)()
if sys.argv[1] == "confined":
    libc.prctl(38, 1, 0, 0, 0)
in_force = refuse_calls()
def error(number, *values):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *values) < 0 else 0
def opened(family):
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error.errno
    return 0
def told():
    found["rings"] = [error(one, -1, 0, 0, 0) for one in IO_URING]
found = {"in_force": in_force, "families": {one: opened(one) for one in (1, 2, 10, 16, 17, 38, 40)}}
thread = threading.Thread(target=told)
thread.start()
thread.join()
found["foreign"] = error(0x40000000 | 39)
machine = MACHINES[os.uname().machine]
found["kernel"] = [error(one, -1, 0, 0, 0, 0) for one in machine.refused]
found["pairs"] = {one: error(machine.sockets[1], one, 1, 0, pair) for one in (1, 2, 30)}
status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
found["seccomp"] = status.partition("Seccomp:")[2].split()[0]
print(json.dumps(found))
"""


def asked(how: str) -> dict[str, Any]:
    told = subprocess.run(
        [sys.executable, "-c", ASK, how], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


def test_filter__refuses_rings_families_and_foreign_calls_to_all_that_is_started() -> None:
    found = asked("confined")
    assert found["in_force"] is True
    assert found["rings"] == [errno.EPERM] * len(IO_URING)
    assert found["families"] == {
        **{str(one): 0 for one in FAMILIES},
        **{str(one): errno.EPERM for one in (17, 38, 40)},
    }
    assert found["foreign"] == errno.EPERM
    assert set(found["kernel"]) == {errno.EPERM}
    # of TIPC there are pairs too, where the kernel has it; of IP there never are
    assert found["pairs"] == {"1": 0, "2": errno.EOPNOTSUPP, "30": errno.EPERM}
    assert found["seccomp"] == "2"


def test_filter__leaves_alone_who_may_gain_powers() -> None:
    """As on the process backend: its agents are the host's user."""
    found = asked("free")
    assert found["in_force"] is False
    assert errno.EPERM not in [found["families"]["1"], found["families"]["2"]]


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_lines__lead_forward_and_end(machine: str) -> None:
    known = MACHINES[machine]
    program = lines(known)
    for at, (code, holds, fails, _) in enumerate(program):
        if code & 0x07 == 0x05:
            assert at + 1 + max(holds, fails) < len(program)
    assert program[-1][0] == 0x06
    own, other = known.name, known.name ^ 1
    assert judged(program, other, 0, 0) == REFUSE
    refused = (*IO_URING, *known.refused, FOREIGN_CALLS, FOREIGN_CALLS | 39)
    assert {judged(program, own, call, 1) for call in refused} == {REFUSE}
    for call in known.sockets:
        assert {judged(program, own, call, one) for one in FAMILIES} == {ALLOW}
        assert {judged(program, own, call, one) for one in (0, 3, 17, 30, 38, 40)} == {REFUSE}
    others = set(range(500)) - {*refused, *known.sockets}
    assert {judged(program, own, call, 40) for call in others} == {ALLOW}


def judged(program: list[Line], architecture: int, call: int, argument: int) -> int:
    """As the kernel runs it."""
    seen = {ARCHITECTURE_AT: architecture, CALL_AT: call, ARGUMENT_AT: argument}
    at, loaded = 0, 0
    while True:
        code, holds, fails, value = program[at]
        at += 1
        if code == RETURN:
            return value
        if code == LOAD:
            loaded = seen[value]
        else:
            met = loaded == value if code == EQUALS else loaded >= value
            at += holds if met else fails
