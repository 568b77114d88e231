"""What doctor says of the container engine, and what it prints of backends' promises."""

from pathlib import Path

import pytest

from cli.doctor.engine import look_at_engine, preflight, table
from cli.exits import Exit
from contracts.preflight import PreflightFinding
from contracts.promises import PROMISES
from tests.fixtures.commands import berth
from tests.fixtures.engine import RealEngine


async def test_no_engine__is_a_note_with_what_to_do(tmp_path: Path) -> None:
    (finding,) = await look_at_engine(f"unix://{tmp_path}/none.sock", tmp_path / "deep" / "er")
    assert (finding.what, finding.verdict) == ("engine", "note")
    assert "cannot be reached" in finding.found
    assert "--engine" in finding.how


@pytest.mark.docker
async def test_engine__each_check_is_a_finding(engine: RealEngine, tmp_path: Path) -> None:
    found = {one.what: one for one in await look_at_engine(engine.host, tmp_path)}
    assert found["engine seccomp"].verdict == "ok"
    version = found["engine engine_version"]
    assert version.found.startswith(engine.client.version()["Version"])
    assert (version.verdict == "ok") == (not version.how)


@pytest.mark.docker
def test_doctor__prints_findings_and_the_table(engine: RealEngine, home: Path) -> None:
    done = berth(home, "doctor", "--engine", engine.host)
    assert done.code == Exit.OK, done.err
    assert "engine seccomp: default" in done.out or "engine seccomp: builtin" in done.out
    for one in PROMISES:
        assert one.text in done.out
    told = {
        one["what"]: one for one in berth(home, "doctor", "--json", "--engine", engine.host).json()
    }
    assert told["engine seccomp"]["verdict"] == "ok"


def test_finding__a_known_hole_is_loud_and_says_the_remedy() -> None:
    (shown,) = preflight(
        [PreflightFinding(check="seccomp", state="fail", found="none", wrong="no", remedy="do")]
    )
    assert (shown.verdict, shown.found, shown.how) == ("hole", "none: no", "do")


def test_table__with_what_runs_says_what_it_really_keeps() -> None:
    assert all(len(row) == 4 for row in table(None))
    rows = table({"own_network": True, "disk_limit": False})
    here = {row[0]: row[-1] for row in rows}
    assert here["No network but what policy grants"] == "yes"
    assert here["A disk limit that the kernel holds"] == "no"
    assert here["Not the host's kernel"] == ""
