"""Runs inside a session's container: what can be reached, read and done from there.

The standard library alone. Its argument is JSON: `checks` by name, `needles` (each byte flipped, so
that nothing finds its own question), `addresses`, `names` and `changed`. Prints JSON: what each
check found; nothing is what it should find.
"""

import ctypes
import errno
import json
import os
import re
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FLIP = 0x5A
PART = 4 * 1024 * 1024
LARGEST = 512 * 1024 * 1024
PTRACE_SEIZE = 0x4206
CLONE_NEWUSER = 0x10000000
UNREACHED = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL}
OWN_UID = 10001
PIPE_UID = 10002
"""Of the loopback listener alone: the agent can no more trace it than the executor."""
KILL_SETGID_SETUID = 1 << 5 | 1 << 6 | 1 << 7
VIRTUAL = ("/proc", "/sys", "/dev")
DOORS = ("/berth/control", "/berth/spool", "/berth/control/executor.sock",
         "/berth/control/relay.sock", "/proc/1/root/berth/control", "/proc/1/cwd",
         "/proc/1/root/berth/spool")  # fmt: skip
ENGINE_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")

libc = ctypes.CDLL(None, use_errno=True)
given: dict[str, Any] = {}
needles: dict[str, bytes] = {}


def held(content: bytes) -> list[str]:
    return [name for name, needle in needles.items() if needle in content]


def others() -> list[int]:
    """Every process but ourselves, who know the needles."""
    pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid()]


def read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(PART)
    except OSError:
        return b""


def uid_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1


def status(pid: int | str) -> dict[str, str]:
    lines = read(f"/proc/{pid}/status").decode().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# --- secrets ---------------------------------------------------------------------------------


def environ() -> Iterator[str]:
    for pid in ("self", *others()):
        for name in held(read(f"/proc/{pid}/environ")):
            yield f"{name} in the environment of {pid}"


def cmdline() -> Iterator[str]:
    for pid in others():
        for name in held(read(f"/proc/{pid}/cmdline")):
            yield f"{name} in the arguments of {pid}"


def files() -> Iterator[str]:
    """The image's own are left out: they are older than every secret. `changed` are those that the
    engine says are not the image's any more.
    """
    image, changed = Path("/").stat().st_dev, set(given["changed"])
    for folder, folders, found in os.walk("/"):
        below = Path(folder)
        folders[:] = [one for one in folders if str(below / one) not in VIRTUAL]
        for path in (below / name for name in found):
            for name in held(os.fsencode(path)):
                yield f"{name} in the name {path}"
            if path.lstat().st_dev != image or str(path) in changed:
                for name in held_by_file(path):
                    yield f"{name} in {path}"


def held_by_file(path: Path) -> list[str]:
    try:
        seen = path.lstat()
        if stat.S_ISLNK(seen.st_mode):
            return held(os.fsencode(path.readlink()))
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > LARGEST:
            return []
        return held(path.read_bytes())
    except OSError:
        return []


def memory() -> Iterator[str]:
    """Of every process that we may read: what it mapped, files that have no name included."""
    for pid in others():
        for line in read(f"/proc/{pid}/maps").decode().splitlines():
            span, modes, *rest = line.split(maxsplit=5)
            if "r" in modes and rest[-1] not in {"[vvar]", "[vsyscall]"}:
                for name in held(region(pid, span)):
                    yield f"{name} in the memory of {pid}: {line}"


def region(pid: int, span: str) -> bytes:
    first, last = (int(end, 16) for end in span.split("-"))
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
            return os.pread(file.fileno(), min(last - first, LARGEST), first)
    except (OSError, OverflowError):
        return b""


# --- network ---------------------------------------------------------------------------------


def interfaces() -> Iterator[str]:
    for line in read("/proc/net/dev").decode().splitlines()[2:]:
        name = line.partition(":")[0].strip()
        if name != "lo":
            yield name
    if len(read("/proc/net/route").splitlines()) > 1:
        yield "a route"


def tcp() -> Iterator[str]:
    for address, port in given["addresses"]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as asking:
            asking.settimeout(1.0)
            reason = asking.connect_ex((address, port))
        if reason not in UNREACHED | {errno.EAGAIN}:
            yield f"{address}:{port}: {errno.errorcode.get(reason, 'connected')}"


def udp() -> Iterator[str]:
    for address, port in given["addresses"]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            try:
                asking.sendto(b"?", (address, port))
                yield f"{address}:{port}"
            except OSError as error:
                if error.errno not in UNREACHED:
                    yield f"{address}:{port}: {error}"


def names() -> Iterator[str]:
    for name in given["names"]:
        try:
            yield f"{name}: {socket.getaddrinfo(name, 80)[0][4][0]}"
        except OSError:
            continue


def raw() -> Iterator[str]:
    kinds = ((socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
             (socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
             (socket.AF_INET6, socket.SOCK_RAW, 58))  # fmt: skip
    for family, kind, protocol in kinds:
        try:
            socket.socket(family, kind, protocol).close()
        except OSError:
            continue
        yield f"a raw socket of {family!r}"


# --- the executor's own ----------------------------------------------------------------------


def doors() -> Iterator[str]:
    for path in map(Path, DOORS):
        try:
            if path.is_socket():
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.connect(str(path))
            else:
                list(path.iterdir())
        except OSError:
            continue
        yield f"{path} is open"


def engine() -> Iterator[str]:
    yield from (path for path in ENGINE_SOCKETS if Path(path).exists())


def signals() -> Iterator[str]:
    for pid in others():
        if uid_of(pid) in {0, PIPE_UID}:
            try:
                os.kill(pid, 0)
            except OSError:
                continue
            yield f"{pid} can be signalled"


def tracing() -> Iterator[str]:
    for pid in (pid for pid in others() if uid_of(pid) in {0, PIPE_UID}):
        if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0:
            yield f"{pid} can be traced"
        looks: dict[str, Callable[[Path], object]] = {
            "mem": lambda path: path.open("rb").close(),
            "environ": Path.read_bytes,
            "maps": Path.read_bytes,
            "fd": lambda path: list(path.iterdir()),
        }
        for name, look in looks.items():
            try:
                look(Path(f"/proc/{pid}/{name}"))
            except OSError:
                continue
            yield f"/proc/{pid}/{name} is open"


# --- powers ----------------------------------------------------------------------------------


def identity() -> Iterator[str]:
    own = status("self")
    for kind in ("Uid", "Gid"):
        if set(own[kind].split()) != {str(OWN_UID)}:
            yield f"{kind} {own[kind]}"
    if set(own["Groups"].split()) - {str(OWN_UID)}:
        yield f"Groups {own['Groups']}"


def capabilities() -> Iterator[str]:
    own = status("self")
    allowed = KILL_SETGID_SETUID if os.getuid() == 0 else 0
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(own[kind], 16) & ~allowed:
            yield f"{kind} {own[kind]}"
    for pid in (pid for pid in others() if uid_of(pid) == 0):
        for kind in ("CapEff", "CapBnd"):
            if int(status(pid).get(kind, "0"), 16) & ~KILL_SETGID_SETUID:
                yield f"{kind} of {pid} is {status(pid)[kind]}"


def privileges() -> Iterator[str]:
    for pid in ("self", *others()):
        found = status(pid)
        if found and found["NoNewPrivs"] != "1":
            yield f"NoNewPrivs of {pid} is {found['NoNewPrivs']}"


def seccomp() -> Iterator[str]:
    for pid in ("self", *others()):
        found = status(pid)
        if found and found["Seccomp"] != "2":
            yield f"Seccomp of {pid} is {found['Seccomp']}"
    if libc.unshare(CLONE_NEWUSER) == 0:
        yield "a user namespace"


def becoming() -> Iterator[str]:
    try:
        os.setuid(0)
    except OSError:
        return
    yield "uid 0"


def processes() -> Iterator[str]:
    for pid in others():
        if uid_of(pid) not in {0, OWN_UID, PIPE_UID, -1}:
            yield f"{pid} of uid {uid_of(pid)}"
    if b"init" not in read("/proc/1/comm") or len(others()) > 64:
        yield f"pid 1 is {read('/proc/1/comm')!r} among {len(others())}"


def writing() -> Iterator[str]:
    for folder in ("/", "/etc", "/usr/bin", "/opt", "/berth", "/sys/fs/cgroup", "/var/tmp"):
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY)
        except OSError:
            continue
        os.close(descriptor)
        yield folder


def devices() -> Iterator[str]:
    for path in Path("/dev").iterdir():
        named = re.fullmatch(r"(mem|kmsg|kvm|port|sd.*|vd.*)", path.name)
        if stat.S_ISBLK(path.lstat().st_mode) or named:
            yield str(path)


CHECKS: list[Callable[[], Iterator[str]]] = [
    environ, cmdline, files, memory, interfaces, tcp, udp, names, raw, doors, engine, signals,
    tracing, identity, capabilities, privileges, seccomp, processes, writing, devices, becoming,
]  # fmt: skip


def main() -> None:
    given.update(json.loads(sys.argv[1]))
    for name, flipped in given.get("needles", {}).items():
        needles[name] = bytes(byte ^ FLIP for byte in bytes.fromhex(flipped))
    chosen = [check for check in CHECKS if check.__name__ in given["checks"]]
    json.dump({check.__name__: list(check())[:10] for check in chosen}, sys.stdout)


if __name__ == "__main__":
    main()
