"""The program inside a container under test; only the standard library.

What it has to say it writes into its spool, which its backend shows outside.
"""
# ruff: noqa: TID251, T201, S606  # a program of its own, with no settings but its environment

import os
import signal
import socket
import sys
import time
from pathlib import Path

spool = Path(os.environ["BERTH_SPOOL_DIR"])


def end(_number: int, _frame: object) -> None:
    sys.exit(0)


def daemon() -> None:
    """Forks twice, in a session of its own, with an environment that tells nothing of us."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleeper = ["sleep", "1000"]
            os.execvpe("sleep", sleeper, {"TEST_MARK": os.environ["BERTH_WORKER_ID"]})
        os._exit(0)


def writable(path: str) -> bool:
    try:
        Path(path, ".probe").touch()
    except OSError:
        return False
    return True


def facts() -> dict[str, str]:
    """What this container looks like from inside."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "uid": str(os.getuid()),
        "capabilities": status["CapEff"].strip(),
        "bounding": status["CapBnd"].strip(),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "interfaces": ",".join(name for _, name in socket.if_nameindex()),
        "processes": str(sum(path.name.isdigit() for path in Path("/proc").iterdir())),
        "writable": ",".join(filter(writable, ("/", "/etc", "/usr", "/tmp", "/run"))),
    }


signal.signal(signal.SIGTERM, signal.SIG_IGN if "TEST_DEAF" in os.environ else end)
with (spool / "starts").open("a") as starts:
    starts.write("started\n")
for _ in range(int(os.environ.get("TEST_DAEMONS", "0"))):
    daemon()
print("resident is up", flush=True)
if "TEST_NOISE" in os.environ:
    print("x" * int(os.environ["TEST_NOISE"]), flush=True)
beside = spool / ".resident"
beside.write_text("\n".join(f"{k}={v}" for k, v in {**os.environ, **facts()}.items()))
beside.rename(spool / "resident")
if "TEST_MEMORY" in os.environ:
    held = b"x" * (int(os.environ["TEST_MEMORY"]) * 1024 * 1024)
while not ("TEST_ENDS" in os.environ and (spool / "end").exists()):
    if "TEST_TICKS" in os.environ:
        with (spool / "ticks").open("a") as ticks:
            ticks.write(".")
    time.sleep(0.01)
sys.exit(int(os.environ["TEST_ENDS"]))
