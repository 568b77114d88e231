"""The program inside a container under test; only the standard library."""
# ruff: noqa: TID251, T201, S606  # a program of its own, with no settings but its environment

import os
import signal
import sys
import time
from pathlib import Path

home = Path(os.environ["BERTH_HOME_DIR"])


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


signal.signal(signal.SIGTERM, signal.SIG_IGN if "TEST_DEAF" in os.environ else end)
with (home / "starts").open("a") as starts:
    starts.write("started\n")
for _ in range(int(os.environ.get("TEST_DAEMONS", "0"))):
    daemon()
print("resident is up", flush=True)
if "TEST_NOISE" in os.environ:
    print("x" * int(os.environ["TEST_NOISE"]), flush=True)
beside = home / ".resident"
beside.write_text("\n".join(f"{k}={v}" for k, v in os.environ.items()) + f"\nuid={os.getuid()}")
beside.rename(home / "resident")
while not ("TEST_ENDS" in os.environ and (home / "end").exists()):
    if "TEST_TICKS" in os.environ:
        with (home / "ticks").open("a") as ticks:
            ticks.write(".")
    time.sleep(0.01)
sys.exit(int(os.environ["TEST_ENDS"]))
