"""Whether this engine and its host are fit to hold sessions: judged from facts, pure.

A finding that fails is a known hole, and this host then takes no `untrusted` session. Trusted ones
run: whoever starts them answers for them.
"""

from collections.abc import Iterator, Mapping, Sequence

from contracts.containers import is_sandbox
from contracts.preflight import PreflightFinding
from executor_manager.containers import versions
from executor_manager.containers.docker_engine import Info
from executor_manager.containers.docker_facts import Facts, Inside, Volume
from executor_manager.containers.runtimes import FIT, Trial
from executor_manager.containers.versions import Flaw

GIB = 1024**3
LEAST_FREE = 2 * GIB
LITTLE_FREE = 10 * GIB
FEW = 32_768
"""Processes of all sessions together."""
TIGHTER_ENGINE = versions.Version(25, 0)
"""From here on its own filter of system calls refuses io_uring."""
FILTERS = frozenset({"default", "builtin"})
WAIVABLE = frozenset({"engine_version", "runc_version", "containerd_version", "kernel"})
"""What a number tells, and a distribution may have mended."""
HOLES = WAIVABLE | {"seccomp"}
"""Checks whose failure lets nobody untrusted in."""


def examine(facts: Facts, waived: Sequence[str] = ()) -> list[PreflightFinding]:
    """`waived`: checks that an administrator answers for."""
    found = [
        *_versions(facts),
        *_engine(facts),
        *_runtimes(facts.tried or {}),
        _io_uring(facts),
        *_ulimits(facts.inside),
        *_disk(facts.volume),
    ]
    return [_waive(one) if one.check in WAIVABLE & {*waived} else one for one in found]


def failures(findings: Sequence[PreflightFinding]) -> list[str]:
    """Why no untrusted session may run here."""
    return [
        f"{one.check}: {one.wrong}"
        for one in findings
        if one.state == "fail" and one.check in HOLES
    ]


MAPPED = "the directories of sessions would belong to nobody inside: no manager starts on it"


def maps_users(info: Info) -> bool:
    options = info.security_options or []
    return any("name=userns" in option or "name=rootless" in option for option in options)


def _waive(finding: PreflightFinding) -> PreflightFinding:
    if finding.state != "fail":
        return finding
    wrong = f"{finding.wrong}; waived by BERTH_PREFLIGHT_WAIVED"
    return PreflightFinding(
        check=finding.check,
        state="warn",
        found=finding.found,
        wrong=wrong,
        remedy=finding.remedy,
    )


def _versions(facts: Facts) -> Iterator[PreflightFinding]:
    told = facts.versions
    yield _version("engine_version", "Docker", told.of("Engine"), versions.ENGINE)
    yield _version("runc_version", "runc", told.of("runc"), versions.RUNC)
    yield _version("containerd_version", "containerd", told.of("containerd"), versions.CONTAINERD)
    yield _kernel(facts.info.kernel_version)


def _version(check: str, name: str, text: str, known: tuple[Flaw, ...]) -> PreflightFinding:
    version = versions.parse(text)
    remedy = f"update {name} to {versions.floor(known)} or newer"
    if version is None:
        wrong = f"the engine does not tell which {name} it runs"
        return PreflightFinding(
            check=check, state="warn", found="unknown", wrong=wrong, remedy=remedy
        )
    concerning = versions.flaws(version, known)
    if not concerning:
        return PreflightFinding(check=check, state="ok", found=text)
    names = ", ".join(flaw.names for flaw in concerning)
    return PreflightFinding(
        check=check,
        state="fail",
        found=text,
        wrong=f"{name} {text} has known holes: {names}",
        remedy=f"{remedy}; where your distribution mended it under this number, set"
        f" BERTH_PREFLIGHT_WAIVED={check}",
    )


def _kernel(text: str) -> PreflightFinding:
    version = versions.parse(text)
    if version is not None and version >= versions.OLDEST_KERNEL:
        return PreflightFinding(check="kernel", state="ok", found=text)
    oldest = f"{versions.OLDEST_KERNEL.major}.{versions.OLDEST_KERNEL.minor}"
    return PreflightFinding(
        check="kernel",
        state="fail",
        found=text or "unknown",
        wrong=f"a kernel before {oldest} has known ways out of containers",
        remedy=f"run a kernel from {oldest} on; where your distribution mends an older one, set"
        " BERTH_PREFLIGHT_WAIVED=kernel",
    )


def _engine(facts: Facts) -> Iterator[PreflightFinding]:
    info = facts.info
    options = info.security_options or []
    yield _cgroup(info.cgroup_version)
    yield _users(info, facts.tried)
    yield _seccomp(options, facts.inside)
    yield _check(
        "lsm",
        next((mark for mark in ("apparmor", "selinux") if f"name={mark}" in options), ""),
        wrong="neither AppArmor nor SELinux confines containers: one layer less",
        remedy="install AppArmor (or SELinux) on the host and restart the engine",
    )
    yield _check(
        "live_restore",
        "on" if info.live_restore_enabled else "",
        absent="off",
        wrong="sessions end whenever the engine is restarted or updated",
        remedy='set "live-restore": true in the engine\'s daemon.json and reload it',
    )


def _cgroup(version: str) -> PreflightFinding:
    return _check(
        "cgroup",
        "v2" if version == "2" else "",
        absent=f"v{version or '1'}",
        wrong="cgroup v1: memory that the kernel uses for a session is counted less exactly, and"
        " a session that runs out of memory is not ended as a whole",
        remedy="boot the host with cgroup v2 (systemd.unified_cgroup_hierarchy=1)",
    )


def _users(info: Info, tried: Mapping[str, Trial] | None) -> PreflightFinding:
    if maps_users(info):
        return PreflightFinding(
            check="users",
            state="fail",
            found="mapped (userns-remap, or rootless)",
            wrong=MAPPED,
            remedy="use an engine that does not map uids",
        )
    known = sorted(filter(is_sandbox, info.runtimes or {}))
    sandboxes = [name for name in known if tried is None or tried.get(name) == FIT]
    if sandboxes:
        untried = " (not tried: a manager does when it starts)" if tried is None else ""
        found = f"not mapped; sandboxes: {', '.join(sandboxes)}{untried}"
        return PreflightFinding(check="users", state="ok", found=found)
    return PreflightFinding(
        check="users",
        state="warn",
        found=f"not mapped, and no sandbox{' that is fit' if known else ''}",
        wrong="root inside is the host's root with three capabilities, on the host's kernel:"
        " untrusted sessions are not taken",
        remedy="install runsc (gVisor), name it in the engine's runtimes with --host-uds=all, and"
        " in BERTH_RUNTIMES",
    )


def _runtimes(tried: Mapping[str, Trial]) -> Iterator[PreflightFinding]:
    """Those that were tried: apps get what is fit."""
    unfit = {name: trial for name, trial in tried.items() if trial != FIT}
    if tried:
        yield PreflightFinding(
            check="runtimes",
            state="warn" if unfit else "ok",
            found=", ".join(name for name in tried if name not in unfit) or "none that is fit",
            wrong="; ".join(f"{name}: {trial.wrong}" for name, trial in unfit.items()),
            remedy="; ".join(dict.fromkeys(trial.remedy for trial in unfit.values())),
        )


def _seccomp(options: Sequence[str], inside: Inside | None) -> PreflightFinding:
    told = next((one for one in options if one.startswith("name=seccomp")), "")
    profile = told.partition("profile=")[2] or ("default" if told else "")
    remedy = 'take "seccomp-profile" out of the engine\'s daemon.json, or name the default there'
    if told and inside is not None and not inside.filtered:
        profile = "unconfined"
    if not told or profile == "unconfined":
        return PreflightFinding(
            check="seccomp",
            state="fail",
            found=profile or "none",
            wrong="the engine filters no system calls",
            remedy="use an engine and a kernel with seccomp" if not told else remedy,
        )
    if profile not in FILTERS:
        wrong = f"{profile} is not the engine's own filter: nobody knows what it allows"
        return PreflightFinding(
            check="seccomp", state="warn", found=profile, wrong=wrong, remedy=remedy
        )
    return PreflightFinding(check="seccomp", state="ok", found=profile)


def _io_uring(facts: Facts) -> PreflightFinding:
    engine = versions.parse(facts.versions.of("Engine"))
    by_engine = engine is not None and engine >= TIGHTER_ENGINE
    by_kernel = facts.io_uring_disabled == "2"
    return _check(
        "io_uring",
        "refused by the engine" if by_engine else "refused by the kernel" if by_kernel else "",
        absent="allowed",
        wrong="sessions may call io_uring, the part of the kernel with most of its recent holes",
        remedy="set the sysctl kernel.io_uring_disabled=2, or update Docker to 25 or newer",
    )


def _ulimits(inside: Inside | None) -> Iterator[PreflightFinding]:
    """What the engine adds to a session's own limits."""
    if inside is None:
        return
    limit = inside.processes
    yield _check(
        "ulimits",
        "no limit of processes" if limit is None else "" if limit < FEW else f"{limit} processes",
        absent=f"{limit} processes",
        wrong=f"the engine's limit of {limit} processes is one for all sessions, whose agents are"
        " one user: some can keep the others from forking",
        remedy='take "nproc" out of the engine\'s default-ulimits, or raise its own LimitNPROC',
    )


def _disk(volume: Volume | None) -> Iterator[PreflightFinding]:
    if volume is None:
        wrong = "the volume of the workspaces cannot be looked at"
        yield PreflightFinding(
            check="disk", state="warn", found="unknown", wrong=wrong, remedy="look at its mount"
        )
        return
    free = f"{volume.free_bytes / GIB:.1f} GiB free where {volume.path} lies"
    short = volume.free_bytes < LITTLE_FREE
    yield PreflightFinding(
        check="disk",
        state="fail" if volume.free_bytes < LEAST_FREE else "warn" if short else "ok",
        found=free,
        wrong="workspaces can fill the volume" if short else "",
        remedy="make room, or move the volume of BERTH_STATE_DIR" if short else "",
    )
    yield _check(
        "disk_quota",
        f"{volume.filesystem} with project quota" if volume.project_quota else "",
        absent=f"{volume.filesystem or 'unknown'} without project quota",
        wrong="the filesystem itself cannot hold a session to its disk limit",
        remedy="put BERTH_STATE_DIR on xfs or ext4 mounted with prjquota",
    )


def _check(
    check: str, found: str, *, wrong: str, remedy: str, absent: str = "none"
) -> PreflightFinding:
    """Fine when something was `found`, else a warning."""
    if found:
        return PreflightFinding(check=check, state="ok", found=found)
    return PreflightFinding(check=check, state="warn", found=absent, wrong=wrong, remedy=remedy)
