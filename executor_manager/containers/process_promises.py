"""What the `process` backend does not promise, one sentence each: for `berth doctor`."""

from executor_manager.containers.backend import Capabilities

NOT_SANDBOXED = (
    "A session shares the host's network: nothing keeps it from dialing out.",
    "A session's models and tools are on a port of the host's loopback: all on the host reach it.",
    "A session sees the host's files as far as its user may read them.",
    "A session sees the host's processes, and may signal those of its own user.",
)
SANDBOXED = (
    "Sessions share the host's kernel, and may call all of it: a hole in it is a way out.",
    "A session reads the host's programs, and no other of its files.",
)
DISK_WATCHED = (
    "A session's disk limit is held by looking: between two looks, or with files that it deleted"
    " and keeps open, it can fill the host's disk."
)
NOT_ISOLATED = (
    "Memory, CPU and process limits are the host's: a session can starve the others.",
    DISK_WATCHED,
    "An agent is its executor's user: it can end it, and write what the session reports.",
)
NO_TIER = "the process backend holds no limits and filters no system calls: run the docker backend"
SAME_USER = "Executor and agent run as the same user as Berth itself."


def capabilities(*, separate_user: bool, lacking: str = "") -> Capabilities:
    """`lacking`: why there is no sandbox; empty: there is one."""
    sandboxed = not lacking
    apart = SANDBOXED if sandboxed else (f"Sessions have no sandbox: {lacking}.", *NOT_SANDBOXED)
    return Capabilities(
        own_network=sandboxed,
        own_filesystem=sandboxed,
        own_processes=sandboxed,
        memory_limit=False,
        cpu_limit=False,
        disk_limit=False,
        separate_user=separate_user,
        not_isolated=(*apart, *NOT_ISOLATED, *(() if separate_user else (SAME_USER,))),
    )
