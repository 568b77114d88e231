"""Whether sessions of the process backend would have a sandbox on this machine."""

import os
import subprocess
import sys

from cli.doctor.findings import Finding
from cli.embedded.access import AGENT_USER

MODULE = "executor_manager.containers.try_sandbox"
TRY_SECONDS = 40.0
HAVE_ONE = (
    "Install bubblewrap, and allow user namespaces or run as root; until then run in containers"
    " what you do not trust."
)


def look_at_sandbox() -> Finding:
    """By a process of its own: how it is made is the manager's."""
    user = [str(AGENT_USER.uid)] if os.geteuid() == 0 else []
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, *user],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _none(f"no answer within {TRY_SECONDS:g} s")
    if done.returncode != 0:
        return _none((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    if done.stdout:
        return _none(done.stdout)
    found = "bubblewrap works: sessions have their own network, processes and files"
    return Finding(what="sandbox", verdict="ok", found=found)


def _none(why: str) -> Finding:
    return Finding(what="sandbox", verdict="note", found=why, how=HAVE_ONE)
