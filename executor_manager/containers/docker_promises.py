"""What the `docker` backend promises on this engine, and what it does not: for `berth doctor`."""

from contracts.containers import ContainerChoice, ContainerOffer
from contracts.disks import DiskMeans
from executor_manager.containers.backend import Capabilities
from executor_manager.containers.docker_engine import Info

SHARED_KERNEL = "Sessions share the host's kernel: a hole in it is a way out."
SAME_USERS = (
    "Uids inside are the host's: root of a session is the host's root, with three capabilities,"
    " and all sessions' agents are the same user in different containers."
)
DISK_WATCHED = (
    "A session's disk limit is held by looking: between two looks, or into files that it deleted"
    " and keeps open, it can write beyond, as far as the volume of the workspaces goes; run the"
    " helper `volumes` for a real one."
)
DISK_IMAGES = (
    "Disks of sessions are sparse files: limits that are together larger than their volume can"
    " fill it, and then sessions get errors of input and output."
)
NO_MEMORY_LIMIT = "The kernel gives no memory limits: a session can starve the others."
NO_SWAP_LIMIT = "The kernel gives no swap limits: a session can use the host's swap."
NO_CPU_LIMIT = "The kernel gives no CPU limits: a session can starve the others."
NO_PIDS_LIMIT = "The kernel gives no limits of processes: a session can use up the host's."
NO_SECCOMP = "The engine filters no system calls: the whole kernel can be called."


def capabilities(
    info: Info, offer: ContainerOffer, disk: DiskMeans, problem: str = ""
) -> Capabilities:
    """`problem`: why images of disks cannot be had, where they were wanted."""
    seccomp = any("name=seccomp" in option for option in info.security_options or [])
    lacking = (
        (NO_MEMORY_LIMIT, info.memory_limit),
        (NO_SWAP_LIMIT, info.swap_limit or not info.memory_limit),
        (NO_CPU_LIMIT, info.cpu_cfs_quota),
        (NO_PIDS_LIMIT, info.pids_limit),
        (NO_SECCOMP, seccomp),
        (DISK_WATCHED, disk != "watch"),
        (DISK_IMAGES, disk != "image"),
        (f"Disks of sessions cannot be images here: {problem}.", not problem),
    )
    return Capabilities(
        own_network=True,
        own_filesystem=True,
        own_processes=True,
        memory_limit=info.memory_limit,
        cpu_limit=info.cpu_cfs_quota,
        disk_limit=disk != "watch",
        disk_means=disk,
        separate_user=True,
        system_call_filter=seccomp,
        untrusted=offer.refusal(ContainerChoice(tier="untrusted")) is None,
        not_isolated=(
            SHARED_KERNEL,
            SAME_USERS,
            *(sentence for sentence, kept in lacking if not kept),
        ),
    )
