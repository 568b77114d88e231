"""The preflight on what real engines answer, and what follows of it for untrusted sessions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.preflight import PreflightFinding
from executor_manager.containers import versions
from executor_manager.containers.docker_facts import Facts, Inside, inside, volume
from executor_manager.containers.preflight import LEAST_FREE, examine, failures
from executor_manager.containers.runtimes import FIT, Trial
from tests.executor_manager.containers.hosts import (
    DEBIAN_12_INFO,
    DEBIAN_12_VERSION,
    DOCKER_28_VERSION,
    DOCKER_29_INFO,
    DOCKER_29_VERSION,
    GIB,
    facts,
)
from tests.executor_manager.containers.hosts import versions as told

UNFIT = Trial("nobody answers", "let it")
PRINTED = """\
Limit                     Soft Limit           Hard Limit           Units
Max processes             94117                94117                processes
Max open files            8192                 8192                 files
Name:	cat
NoNewPrivs:	1
Seccomp:	2
Seccomp_filters:	1
"""
MOUNTINFO = (
    "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
    "40 22 8:17 / /srv rw,relatime shared:5 - xfs /dev/sdb1 rw,attr2,inode64,prjquota",
    "41 22 0:45 / /srv/mem rw - tmpfs tmpfs rw,size=1024k",
    "42 40 8:33 / /srv/again\\040here rw - ext4 /dev/sdc1 rw",
)


def states(found: list[PreflightFinding]) -> dict[str, str]:
    return {one.check: one.state for one in found}


def test_debian_12__is_known_to_be_vulnerable_by_its_numbers() -> None:
    found = examine(facts(DEBIAN_12_VERSION, DEBIAN_12_INFO))
    assert states(found) == {
        "engine_version": "fail",
        "runc_version": "fail",
        "containerd_version": "fail",
        "kernel": "ok",
        "cgroup": "warn",
        "users": "warn",
        "seccomp": "ok",
        "lsm": "ok",
        "live_restore": "warn",
        "io_uring": "warn",
        "ulimits": "ok",
        "disk": "ok",
        "disk_quota": "warn",
    }
    wrong = {one.check: one.wrong for one in found}
    assert "CVE-2024-29018" in wrong["engine_version"]
    assert "CVE-2024-21626" in wrong["runc_version"]
    assert "CVE-2025-31133" in wrong["runc_version"]
    assert [why.partition(":")[0] for why in failures(found)] == [
        "engine_version",
        "runc_version",
        "containerd_version",
    ]


def test_what_is_not_fine__says_what_is_wrong_and_the_remedy() -> None:
    nothing = facts({}, {})
    for seen in (facts(DEBIAN_12_VERSION, DEBIAN_12_INFO), nothing, replace(nothing, volume=None)):
        for one in examine(seen):
            assert (one.state == "ok") == (not one.wrong), one
            assert (one.state == "ok") == (not one.remedy), one
            assert one.found, one


def test_docker_29__is_fine() -> None:
    found = examine(facts(DOCKER_29_VERSION, DOCKER_29_INFO, quota=True))
    assert {one.check for one in found if one.state != "ok"} == set()
    assert failures(found) == []


def test_docker_28__has_an_old_runc() -> None:
    found = examine(facts(DOCKER_28_VERSION, DOCKER_29_INFO))
    assert [why.partition(":")[0] for why in failures(found)] == ["runc_version"]
    (runc,) = [one for one in found if one.check == "runc_version"]
    assert "update runc to 1.2.8 or 1.3.3 or 1.4.0-rc.3 or newer" in runc.remedy


def test_waived__by_whoever_answers_for_a_number_and_nothing_else() -> None:
    bare = {**DEBIAN_12_INFO, "SecurityOptions": []}
    waived = ("engine_version", "runc_version", "containerd_version", "seccomp")
    found = examine(facts(DEBIAN_12_VERSION, bare), waived)
    assert failures(found) == ["seccomp: the engine filters no system calls"]
    assert states(found)["runc_version"] == "warn"
    (runc,) = [one for one in found if one.check == "runc_version"]
    assert runc.wrong.endswith("; waived by BERTH_PREFLIGHT_WAIVED")


@pytest.mark.parametrize(
    ("options", "state"),
    [
        (["name=seccomp,profile=default"], "ok"),
        (["name=seccomp,profile=builtin"], "ok"),
        (["name=seccomp,profile=unconfined"], "fail"),
        (["name=seccomp,profile=/etc/docker/own.json"], "warn"),
        ([], "fail"),
        (None, "fail"),
    ],
)
def test_seccomp__is_the_engines_own_or_nobody_knows(options: list[str] | None, state: str) -> None:
    seen = facts(DOCKER_29_VERSION, {**DOCKER_29_INFO, "SecurityOptions": options})
    assert states(examine(seen))["seccomp"] == state


@pytest.mark.parametrize(
    ("options", "runtimes", "state"),
    [
        (["name=userns"], {"runc": {}}, "fail"),
        (["name=rootless"], {"runc": {}, "runsc": {}}, "fail"),
        (["name=cgroupns"], {"runc": {}}, "warn"),
        (["name=cgroupns"], {"runc": {}, "runsc": {}}, "ok"),
        ([], None, "warn"),
    ],
)
def test_users__are_not_mapped_and_have_a_kernel_of_their_own(
    options: list[str], runtimes: dict[str, Any] | None, state: str
) -> None:
    info = {**DOCKER_29_INFO, "SecurityOptions": options, "Runtimes": runtimes}
    assert states(examine(facts(DOCKER_29_VERSION, info)))["users"] == state


@pytest.mark.parametrize(
    ("tried", "users", "runtimes"),
    [
        (None, "ok", None),
        ({}, "warn", None),
        ({"runsc": FIT}, "ok", "ok"),
        ({"runsc": UNFIT}, "warn", "warn"),
        ({"runsc": UNFIT, "crun": FIT}, "warn", "warn"),
        ({"crun": FIT}, "warn", "ok"),
    ],
)
def test_runtimes__that_were_tried_and_failed_are_no_sandboxes(
    tried: dict[str, Trial] | None, users: str, runtimes: str | None
) -> None:
    seen = replace(facts(DOCKER_29_VERSION, DOCKER_29_INFO), tried=tried)
    found = examine(seen)
    assert (states(found)["users"], states(found).get("runtimes")) == (users, runtimes)
    told = {one.check: one for one in found}
    assert ("not tried" in told["users"].found) == (tried is None)
    if runtimes == "warn":
        assert told["runtimes"].wrong == "runsc: nobody answers"
        assert told["runtimes"].remedy == "let it"


@pytest.mark.parametrize(
    ("kernel", "state"),
    [
        ("6.18.44-fc-v669", "ok"),
        ("5.10.0-28-amd64", "ok"),
        ("5.4.0-150-generic", "fail"),
        ("4.18.0-553.el8.x86_64", "fail"),
        ("", "fail"),
    ],
)
def test_kernel__by_its_line(kernel: str, state: str) -> None:
    seen = facts(DOCKER_29_VERSION, {**DOCKER_29_INFO, "KernelVersion": kernel})
    assert states(examine(seen))["kernel"] == state


def test_seccomp__that_is_said_and_not_seen_inside_fails() -> None:
    unseen = Inside(processes=None, filtered=False)
    found = examine(facts(DOCKER_29_VERSION, DOCKER_29_INFO, inside=unseen))
    assert failures(found) == ["seccomp: the engine filters no system calls"]
    assert "seccomp-profile" in next(one.remedy for one in found if one.check == "seccomp")


@pytest.mark.parametrize(("processes", "state"), [(None, "ok"), (100_000, "ok"), (1024, "warn")])
def test_ulimits__of_processes_are_one_for_all_sessions(processes: int | None, state: str) -> None:
    seen = Inside(processes=processes, filtered=True)
    assert (
        states(examine(facts(DOCKER_29_VERSION, DOCKER_29_INFO, inside=seen)))["ulimits"] == state
    )


def test_ulimits__that_nobody_looked_at_are_not_judged() -> None:
    found = examine(facts(DOCKER_29_VERSION, DOCKER_29_INFO, inside=None))
    assert "ulimits" not in states(found)
    assert failures(found) == []


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (PRINTED, Inside(processes=94_117, filtered=True)),
        (PRINTED.replace("94117", "unlimited", 1), Inside(processes=None, filtered=True)),
        (PRINTED.replace("Seccomp:\t2", "Seccomp:\t0"), Inside(processes=94_117, filtered=False)),
        ("", None),
        ("cat: /proc/self/status: No such file or directory", None),
    ],
)
def test_inside__is_read_of_what_the_kernel_prints(printed: str, expected: Inside | None) -> None:
    assert inside(printed) == expected


def test_io_uring__refused_by_the_engine_or_by_the_kernel() -> None:
    def state(seen: Facts) -> str:
        return states(examine(seen))["io_uring"]

    assert state(facts(DEBIAN_12_VERSION, DEBIAN_12_INFO, io_uring="2")) == "ok"
    assert state(facts(DEBIAN_12_VERSION, DEBIAN_12_INFO, io_uring="1")) == "warn"
    assert state(facts(DOCKER_29_VERSION, DOCKER_29_INFO, io_uring="")) == "ok"


def test_disk__that_is_full_fails_and_lets_untrusted_sessions_in() -> None:
    def seen(free: int) -> list[PreflightFinding]:
        return examine(facts(DOCKER_29_VERSION, DOCKER_29_INFO, free=free))

    assert states(seen(5 * GIB))["disk"] == "warn"
    assert states(seen(LEAST_FREE - 1))["disk"] == "fail"
    assert failures(seen(LEAST_FREE - 1)) == []


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/srv/berth", ("xfs", True)),
        ("/srv/mem/x", ("tmpfs", False)),
        ("/srv/again here", ("ext4", False)),
        ("/var", ("ext4", False)),
    ],
)
def test_volume__is_of_the_innermost_mount(
    place: str, expected: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1, "total": 2}))
    monkeypatch.setattr(Path, "resolve", lambda self, **_: self)
    found = volume(Path(place), MOUNTINFO)
    assert found is not None
    assert (found.filesystem, found.project_quota) == expected


def test_volume__that_cannot_be_looked_at_is_none() -> None:
    assert volume(Path("/nowhere/at/all"), MOUNTINFO) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("v2.1.5", (2, 1, 5)),
        ("1.1.5+ds1-1+deb12u1", (1, 1, 5)),
        ("1.6.20~ds1", (1, 6, 20)),
        ("5.10.0-28-amd64", (5, 10, 0)),
        ("4.18", (4, 18, 0)),
    ],
)
def test_version__of_engines_and_distributions(text: str, expected: tuple[int, int, int]) -> None:
    found = versions.parse(text)
    assert found is not None
    assert found[:3] == expected
    assert found.candidate == versions.RELEASED


def test_version__a_candidate_comes_before_its_release() -> None:
    candidate, released = versions.parse("1.4.0-rc.2"), versions.parse("1.4.0")
    assert candidate is not None
    assert released is not None
    assert candidate < released
    assert versions.parse("unknown") is None


@pytest.mark.parametrize(
    ("runc", "concerned"),
    [
        ("1.0.3", 2),
        ("1.1.11", 2),
        ("1.1.12", 1),
        ("1.1.15", 1),
        ("1.2.7", 1),
        ("1.2.8", 0),
        ("1.3.2", 1),
        ("1.3.3", 0),
        ("1.4.0-rc.2", 1),
        ("1.4.0-rc.3", 0),
        ("1.4.0", 0),
        ("2.0.0", 0),
    ],
)
def test_runc__each_branch_has_its_own_fix(runc: str, concerned: int) -> None:
    found = versions.parse(runc)
    assert found is not None
    assert len(versions.flaws(found, versions.RUNC)) == concerned
    state = "fail" if concerned else "ok"
    seen = facts(told("29.0.1", "v2.1.5", runc), DOCKER_29_INFO)
    assert states(examine(seen))["runc_version"] == state


@pytest.mark.parametrize(
    ("engine", "state"),
    [("24.0.9", "fail"), ("25.0.4", "fail"), ("25.0.5", "ok"), ("26.0.0", "ok"), ("", "warn")],
)
def test_engine__from_its_floor_on(engine: str, state: str) -> None:
    seen = facts(told(engine, "v2.1.5", "1.3.3"), DOCKER_29_INFO)
    assert states(examine(seen))["engine_version"] == state
