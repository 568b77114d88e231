"""Runs inside a session's container: ways out of it by the kernel, by files and by what listens.

As `probe.py`: the standard library alone, JSON in its argument (`checks`, `allowed`), JSON printed:
what each check found, and nothing is what it should find. Whatever succeeds does no harm: arguments
are empty, files that are opened to be written are not written to.
"""

import ctypes
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DENIED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
AT_CWD = -100
ROOM = b"\0" * 64
CALLS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "mount": (165, (0, 0, 0, 0, 0)),
    "umount2": (166, (b"/workspace", 2)),
    "pivot_root": (155, (0, 0)),
    "fsopen": (430, (0, 0)),
    "open_tree": (428, (AT_CWD, b"/", 1)),
    "move_mount": (429, (-1, b"", -1, b"", 0)),
    "mount_setattr": (442, (AT_CWD, b"/", 0, ROOM, 32)),
    "chroot": (161, (b"/",)),
    "keyctl": (250, (0, -3, 1)),
    "add_key": (248, (b"user", b"berth", b"x", 1, -3)),
    "request_key": (249, (b"user", b"berth", 0, -3)),
    "bpf": (321, (0, ROOM, 64)),
    "perf_event_open": (298, (ROOM, 0, -1, -1, 0)),
    "userfaultfd": (323, (1,)),
    "init_module": (175, (0, 0, b"")),
    "finit_module": (313, (-1, b"", 0)),
    "delete_module": (176, (b"berth_no_such", 0o4000)),
    "kexec_load": (246, (0, 0, 0, 0)),
    "open_by_handle_at": (304, (AT_CWD, ROOM, 0)),
    "syslog": (103, (3, ROOM, 64)),
    "process_vm_readv": (310, (1, 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, (1, 0, 0, 0, 0, 0)),
    "pidfd_getfd": (438, (-1, 0, 0)),
    "fanotify_init": (300, (0, 0)),
    "quotactl": (179, (0, 0, 0, 0)),
    "iopl": (172, (3,)),
    "ioperm": (173, (0x80, 1, 1)),
    "acct": (163, (0,)),
    "swapoff": (168, (b"/berth-no-such",)),
    "clock_settime": (227, (0, 0)),
    "settimeofday": (164, (0, 0)),
    "sethostname": (170, (b"berth", 5)),
    "setdomainname": (171, (b"berth", 5)),
    "kcmp": (312, (1, 1, 0, 0, 0)),
    "move_pages": (279, (1, 0, 0, 0, 0, 0)),
    "vhangup": (153, ()),
}
"""Of x86-64."""
RINGS = {"io_uring_setup": (425, (4, 0)), "io_uring_enter": (426, (-1, 0, 0, 0, 0)),
         "io_uring_register": (427, (-1, 0, 0, 0))}  # fmt: skip
FAMILIES = {"AF_VSOCK": 40, "AF_ALG": 38, "AF_PACKET": 17, "AF_KEY": 15, "AF_TIPC": 30,
            "AF_RDS": 21, "AF_CAN": 29, "AF_BLUETOOTH": 31, "AF_XDP": 44}  # fmt: skip
SPACES = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000,
          "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}  # fmt: skip
NODES = {"mem": (stat.S_IFCHR, 1, 1), "kmsg": (stat.S_IFCHR, 1, 11), "kvm": (stat.S_IFCHR, 10, 232),
         "fuse": (stat.S_IFCHR, 10, 229), "tun": (stat.S_IFCHR, 10, 200),
         "loop0": (stat.S_IFBLK, 7, 0), "sda": (stat.S_IFBLK, 8, 0),
         "vda": (stat.S_IFBLK, 254, 0)}  # fmt: skip
DEVICES = ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "net/tun", "vhost-vsock", "vsock", "sda",
           "vda", "loop0", "loop-control", "mapper/control", "userfaultfd", "hwrng")  # fmt: skip
SWITCHES = ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
            "/proc/sys/kernel/hotplug", "/proc/sys/kernel/sysrq", "/proc/sys/vm/panic_on_oom",
            "/proc/sys/fs/binfmt_misc/register", "/proc/sys/net/ipv4/ip_forward",
            "/proc/acpi/wakeup", "/proc/irq/default_smp_affinity",
            "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/power/state", "/sys/module/kernel/parameters/panic",
            "/sys/fs/cgroup/release_agent")  # fmt: skip
HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg",
          "/proc/latency_stats", "/proc/interrupts", "/proc/1/stack")  # fmt: skip
PRIVATE = ("/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi", "/proc/acpi",
           "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/bpf")  # fmt: skip
PLACES = ("/tmp", "/workspace", "/home/agent", "/dev/shm", "/run", "/dev")
OWN = ("/workspace", "/tmp", "/run", "/home/agent", "/dev", "/proc")
"""Where a session may write: all of it is of its own, and goes with it."""
EXECUTORS = ("/berth/spool", "/berth/control", "/berth/agent")
SOCKETS = ("docker.sock", "containerd.sock", "crio.sock", "podman.sock", "dockershim.sock",
           "system_bus_socket", "private", "snapd.socket")  # fmt: skip
ENGINE_ROOMS = ("/var/run/docker", "/run/docker", "/run/containerd", "/run/podman", "/run/systemd",
                "/var/lib/docker", "/run/dbus")  # fmt: skip
GROUPS = ("224.0.0.251", "239.255.255.250", "255.255.255.255")
GROUPS_6 = ("ff02::1", "ff02::fb")
PIPE_UID = 10002
SEEN_SECONDS = 0.4

libc = ctypes.CDLL(None, use_errno=True)
given: dict[str, Any] = {}


def called(number: int, values: tuple[Any, ...]) -> int:
    """Its error; 0: it succeeded. In a process of its own, whose end takes back what it got."""
    child = os.fork()
    if child == 0:
        held = [ctypes.c_char_p(one) if isinstance(one, bytes) else ctypes.c_long(one)
                for one in values]  # fmt: skip
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(number), *held)
        os._exit(ctypes.get_errno() if answer < 0 else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def passing(table: dict[str, tuple[int, tuple[Any, ...]]]) -> Iterator[str]:
    for name, (number, values) in table.items():
        error = called(number, values)
        if error not in DENIED:
            yield f"{name}: {errno.errorcode.get(error, 'done')}"


def opened(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True


# --- calls (I03) -------------------------------------------------------------------------------


def calls() -> Iterator[str]:
    yield from passing(CALLS)


def rings() -> Iterator[str]:
    """Refused by the executor's own filter, whatever the engine's is."""
    yield from passing(RINGS)


def families() -> Iterator[str]:
    for name, family in FAMILIES.items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            yield f"{name} of kind {kind}"


def spaces() -> Iterator[str]:
    yield from passing({f"unshare {name}": (272, (flag,)) for name, flag in SPACES.items()})
    for pid in ("self", "1"):
        for name, flag in SPACES.items():
            try:
                descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
            except OSError:
                continue
            yield from passing({f"setns {name} of {pid}": (308, (descriptor, flag))})
            os.close(descriptor)


# --- the kernel's files (I04) and devices (I06) ------------------------------------------------


def switches() -> Iterator[str]:
    """Named ones, and every file of theirs that says it can be written."""
    yield from (path for path in SWITCHES if opened(path, os.O_WRONLY))
    for top in ("/proc/sys", "/sys"):
        for folder, folders, names in os.walk(top):
            folders[:] = [one for one in folders if not Path(folder, one).is_symlink()]
            for path in (f"{folder}/{name}" for name in names):
                if os.access(path, os.W_OK) and opened(path, os.O_WRONLY):
                    yield path


def hidden() -> Iterator[str]:
    for path in HIDDEN:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if os.read(descriptor, 1):
                yield path
        except OSError:
            continue
        finally:
            os.close(descriptor)
    for folder in PRIVATE:
        try:
            yield from map(str, Path(folder).iterdir())
        except OSError:
            continue


def nodes() -> Iterator[str]:
    for place in PLACES:
        for name, (kind, major, minor) in NODES.items():
            path = f"{place}/berth-{name}-{os.getpid()}"
            try:
                os.mknod(path, kind | 0o666, os.makedev(major, minor))
            except OSError:
                continue
            yield f"{path} was made" + (" and opens" if opened(path, os.O_RDONLY) else "")
            Path(path).unlink()
    yield from (f"/dev/{name}" for name in DEVICES if opened(f"/dev/{name}", os.O_RDONLY))


# --- powers by files (I05), and what would outlive a session (I15) --------------------------------


def marked() -> list[str]:
    """Programs that say they run as somebody else, or with powers."""
    found: list[str] = []
    for folder in {os.path.realpath(one) for one in ("/bin", "/sbin", "/usr/bin", "/usr/sbin")}:
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False):
                mode = entry.stat(follow_symlinks=False).st_mode
                other = mode & (stat.S_ISUID | stat.S_ISGID) or with_powers(entry.path)
                if other and mode & 1:
                    found.append(entry.path)
    return found


def with_powers(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def gains() -> Iterator[str]:
    """Each is started and looked at for as long as it runs, or waits for us."""
    own = identities(os.getpid())
    for path in marked():
        with subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as started:
            ends = time.monotonic() + SEEN_SECONDS
            ids: set[str] = set()
            while started.poll() is None and time.monotonic() < ends and not ids - own:
                ids |= identities(started.pid)
            try:
                started.kill()
            except PermissionError:
                ids.add("not to be killed")
        if ids - own:
            yield f"{path} ran as {sorted(ids - own)}"


def identities(pid: int) -> set[str]:
    """Users, groups and powers."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return set()
    powers = {line for line in lines if line.startswith("CapPrm:")}
    return powers | {
        one for line in lines if line.startswith(("Uid:", "Gid:")) for one in line.split()[1:]
    }


def grants() -> Iterator[str]:
    """A file that would give capabilities, or root's own with its bit, made by ourselves."""
    full = b"\x01\x00\x00\x02" + b"\xff" * 4 + b"\0" * 4 + b"\xff" * 4 + b"\0" * 4
    for place in ("/workspace", "/home/agent", "/tmp", "/dev/shm"):
        path = f"{place}/berth-powers-{os.getpid()}"
        try:
            Path(path).touch()
        except OSError:
            continue
        acts: dict[str, Callable[[str], object]] = {
            "capabilities": lambda file: os.setxattr(file, "security.capability", full),
            **({"another's": lambda file: os.chown(file, 0, 0)} if os.getuid() else {}),
        }
        for name, act in acts.items():
            try:
                act(path)
            except OSError:
                continue
            yield f"{path}: {name}"
        Path(path).unlink()


def lasting() -> Iterator[str]:
    """Directories outside of the session's own that a file could be left in."""
    own = OWN if os.getuid() else (*OWN, *EXECUTORS)
    for folder, folders, _ in os.walk("/"):
        folders[:] = [one for one in folders if str(Path(folder, one)) not in own]
        if os.access(folder, os.W_OK) and opened(folder, os.O_TMPFILE | os.O_WRONLY):
            yield folder


# --- what listens (I02, I07, I10) ---------------------------------------------------------------


def sockets() -> Iterator[str]:
    """Unix sockets that take a connection, by every name that there is."""
    paths = {f"{room}/{name}" for room in ("/run", "/var/run", *ENGINE_ROOMS) for name in SOCKETS}
    for folder, folders, names in os.walk("/"):
        folders[:] = [one for one in folders if str(Path(folder, one)) not in {"/proc", "/sys"}]
        paths |= {path for name in names if is_socket(path := str(Path(folder, name)))}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        if len(fields := line.split()) > 7:
            paths.add(fields[7].replace("@", "\0", 1))
    for path in sorted(paths - set(given.get("allowed", []))):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(1.0)
            try:
                asking.connect(path)
            except OSError:
                continue
        yield f"{path!r} takes connections"


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def listeners() -> Iterator[str]:
    """On any address: nothing but the way to the relay, whose uid nobody else has."""
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            waits = state == "0A" if table.startswith("tcp") else True
            if waits and (int(rest[3]) != PIPE_UID or not local.startswith("0100007F:")):
                yield f"{table} {local} of uid {rest[3]}"


def neighbours() -> Iterator[str]:
    """To whoever is on the same wire, without knowing an address."""
    for family, groups in ((socket.AF_INET, GROUPS), (socket.AF_INET6, GROUPS_6)):
        for group in groups:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                if family == socket.AF_INET:
                    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                try:
                    asking.sendto(b"?", (group, 5353))
                except OSError:
                    continue
                yield group
    for index, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            try:
                asking.sendto(b"?", ("fe80::1", 80, 0, index))
            except OSError:
                continue
            yield f"fe80::1 by {name}"
    if len(Path("/proc/net/arp").read_text().splitlines()) > 1:
        yield "a neighbour's hardware address"


CHECKS: list[Callable[[], Iterator[str]]] = [
    calls, rings, families, spaces, switches, hidden, nodes, gains, grants, lasting, sockets,
    listeners, neighbours,
]  # fmt: skip


def main() -> None:
    given.update(json.loads(sys.argv[1]))
    chosen = [check for check in CHECKS if check.__name__ in given["checks"]]
    json.dump({check.__name__: list(check())[:10] for check in chosen}, sys.stdout)


if __name__ == "__main__":
    main()
