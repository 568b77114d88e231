"""What a session's container is promised to keep apart, by backend: one table, for people to read.

`docs/security.md` shows it, and `berth doctor` prints it with what this host keeps.
"""

from typing import Literal, NamedTuple

Kept = Literal["yes", "no", "host"]
"""`host`: as far as the host can; `berth doctor` there says whether it does."""


class Promise(NamedTuple):
    name: str
    """Of the capability that tells whether a host keeps it; empty: every host of the backend."""
    text: str
    docker: Kept
    runsc: Kept
    """The docker backend with a runtime that has a kernel of its own."""
    process: Kept


PROMISES = (
    Promise("", "No provider's key, store's key or database's address inside", "yes", "yes", "yes"),
    Promise("own_network", "No network but what policy grants", "yes", "yes", "host"),
    Promise("own_filesystem", "The host's files are not there", "yes", "yes", "host"),
    Promise("own_processes", "The host's processes are not there", "yes", "yes", "host"),
    Promise("separate_user", "The executor is another user than its manager", "yes", "yes", "host"),
    Promise(
        "", "The agent is another user than its executor, with no way to more", "yes", "yes", "no"
    ),
    Promise("memory_limit", "A memory limit that the kernel holds", "host", "host", "no"),
    Promise("cpu_limit", "A CPU limit that the kernel holds", "host", "host", "no"),
    Promise("disk_limit", "A disk limit that the kernel holds", "host", "host", "no"),
    Promise("system_call_filter", "Most of the kernel's calls are refused", "host", "yes", "no"),
    Promise("", "Not the host's kernel", "no", "yes", "no"),
    Promise("untrusted", "Sessions of the tier `untrusted`", "host", "host", "no"),
)
HEAD = ("promise", "docker", "docker with runsc", "process")


def rows() -> list[tuple[str, ...]]:
    """Without the head."""
    return [(one.text, one.docker, one.runsc, one.process) for one in PROMISES]
