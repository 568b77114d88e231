"""A session that looks around, inside a sandbox under test; only the standard library.

What it found it writes into its spool, as JSON.
"""
# ruff: noqa: TID251  # a program of its own, with no settings but its environment

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

spool = Path(os.environ["BERTH_SPOOL_DIR"])


def tried(act: Callable[[], object]) -> str:
    try:
        return str(act() or "done")
    except OSError as error:
        return str(error.strerror)


def dialled(address: str) -> None:
    host, port = address.rsplit(":", 1)
    socket.create_connection((host, int(port)), timeout=2).close()


def connected(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)


def served() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname(), timeout=2).close()
    return "done"


def asked(name: str) -> list[str]:
    return [one for one in os.environ.get(name, "").split(",") if one]


def mounted() -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", "mount -o remount,rw /usr || unshare -Ur mount -o remount,rw,bind /usr"],
        capture_output=True,
        check=False,
    )
    return "done" if done.returncode == 0 else "refused"


def places() -> list[str]:
    names = ("HOME", "BERTH_WORKSPACE_DIR", "BERTH_SPOOL_DIR", "BERTH_CONTROL_DIR")
    own = [os.environ[name] for name in names]
    return [*own, tempfile.gettempdir(), "/", "/usr", "/etc", "/dev", *asked("TEST_WRITE")]


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


found = {
    "uid": os.getuid(),
    "groups": os.getgroups(),
    "powers": status()["CapEff"],
    "no_new_privileges": status()["NoNewPrivs"],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "processes": sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()),
    "host_name": socket.gethostname(),
    "tmp": [one.name for one in Path("/tmp").iterdir()],
    "pty": tried(lambda: os.ttyname(os.openpty()[1])),
    "loopback": tried(served),
    "remount": mounted(),
    "dialled": {one: tried(lambda one=one: dialled(one)) for one in asked("TEST_DIAL")},
    "connected": {one: tried(lambda one=one: connected(one)) for one in asked("TEST_CONNECT")},
    "read": {one: tried(lambda one=one: Path(one).stat() and "seen") for one in asked("TEST_READ")},
    "written": {
        one: tried(lambda one=one: Path(one, ".probe").write_text("x")) for one in places()
    },
    "listed": {
        one: tried(lambda one=one: sorted(path.name for path in Path(one).iterdir()))
        for one in asked("TEST_LIST")
    },
    "adjusted": tried(lambda: Path("/proc/self/oom_score_adj").write_text("500")),
}
beside = spool / ".found"
beside.write_text(json.dumps(found))
beside.rename(spool / "resident")
signal.sigwait({signal.SIGTERM})
