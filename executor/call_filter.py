"""System calls that nothing in a session needs, refused for the executor and all that it starts.

It stands before the engine's own filter, which on older engines lets these pass: io_uring, sockets
of every family that the kernel has (by AF_VSOCK a virtual machine speaks with its host), and the
calls of another architecture, whose arguments no filter sees. A sandbox of the process backend has
no other filter: there it also keeps from the kernel's keys, which belong to a user and not to a
session, and from what is mostly used to attack the kernel. Once in force it cannot be taken off.
"""

import ctypes
import errno
import os
import struct

import msgspec

PR_SET_SECCOMP = 22
PR_GET_NO_NEW_PRIVS = 39
SECCOMP_MODE_FILTER = 2
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM

LOAD, EQUALS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
CALL_AT, ARCHITECTURE_AT, ARGUMENT_AT = 0, 4, 16
"""Of what the kernel shows a filter; of the argument its lower half, which is what it takes."""
FOREIGN_CALLS = 0x40000000
"""Calls of x32 say that they are of x86-64."""
IO_URING = (425, 426, 427)
"""Everywhere the same."""
FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, and netlink, by which C libraries look for interfaces."""


class Machine(msgspec.Struct, frozen=True):
    name: int
    """In the kernel."""
    sockets: tuple[int, ...]
    """`socket`, and `socketpair`, whose first argument is a family as well."""
    refused: tuple[int, ...]
    """`add_key`, `request_key`, `keyctl`, `bpf`, `userfaultfd`, `perf_event_open`."""


MACHINES = {
    "x86_64": Machine(0xC000003E, (41, 53), (248, 249, 250, 321, 323, 298)),
    "aarch64": Machine(0xC00000B7, (198, 199), (217, 218, 219, 280, 282, 241)),
}

Line = tuple[int, int, int, int]
"""A code, how many lines to pass over if it holds and if not, and its value."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def refuse_calls() -> bool:
    """False: of a host that no filter is known for, or a process that might gain powers and would
    need one to be given a filter: outside of a container.

    Raises `OSError` if the kernel has none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    machine = MACHINES.get(os.uname().machine)
    if machine is None or libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return False
    program = lines(machine)
    packed = b"".join(struct.pack("=HBBI", *line) for line in program)
    filled = _Program(len(program), packed)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filled), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the filter of system calls: {os.strerror(number)}")
    return True


def lines(machine: Machine) -> list[Line]:
    """Each refusal leads to one line, which must be within 255."""
    checks: list[Line] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUALS, 1, 0, machine.name),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, CALL_AT),
    ]
    families: list[Line] = [(LOAD, 0, 0, ARGUMENT_AT)]
    families += [(EQUALS, len(FAMILIES) - at, 0, one) for at, one in enumerate(FAMILIES)]
    families += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    refused = [(AT_LEAST, FOREIGN_CALLS)]
    refused += [(EQUALS, call) for call in (*IO_URING, *machine.refused)]
    opening: list[Line] = [
        (EQUALS, len(machine.sockets) - at + 1, 0, call) for at, call in enumerate(machine.sockets)
    ]
    end = len(refused) + len(opening)
    checks += [(code, end - at, 0, value) for at, (code, value) in enumerate(refused)]
    return [*checks, *opening, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE), *families]
