"""What the `process` backend does not promise, one sentence each: for `berth doctor`."""

from executor_manager.containers.backend import Capabilities

NOT_ISOLATED = (
    "A session shares the host's network: nothing keeps it from dialing out.",
    "A session's models and tools are on a port of the host's loopback: all on the host reach it.",
    "A session sees the host's files as far as its user may read them.",
    "A session sees the host's processes, and may signal those of its own user.",
    "Memory, CPU and process limits are the host's: a session can starve the others.",
    "A session's disk limit is held by looking: between two looks it can fill the host's disk.",
)
NO_TIER = "the process backend isolates nothing: run the docker backend"
SAME_USER = "Executor and agent run as the same user as Berth itself."


def capabilities(*, separate_user: bool) -> Capabilities:
    return Capabilities(
        own_network=False,
        own_filesystem=False,
        own_processes=False,
        memory_limit=False,
        cpu_limit=False,
        disk_limit=False,
        separate_user=separate_user,
        not_isolated=NOT_ISOLATED if separate_user else (*NOT_ISOLATED, SAME_USER),
    )
