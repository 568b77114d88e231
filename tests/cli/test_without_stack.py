"""Where nothing runs, or nothing can: messages that say what to do."""

from pathlib import Path

from cli.exits import Exit
from tests.fixtures.commands import berth


def test_ls__nothing_runs(home: Path) -> None:
    done = berth(home, "ls")
    assert done.code == Exit.UNREACHABLE
    assert "berth up" in done.err
    assert done.out == ""


def test_ls__nobody_answers(home: Path) -> None:
    done = berth(home, "ls", BERTH_URL="http://127.0.0.1:9", BERTH_KEY="bk_nobody")
    assert done.code == Exit.UNREACHABLE
    assert "http://127.0.0.1:9 cannot be reached" in done.err


def test_ls__url_without_a_key(home: Path) -> None:
    done = berth(home, "ls", BERTH_URL="http://127.0.0.1:9")
    assert done.code == Exit.UNREACHABLE
    assert "BERTH_KEY" in done.err


def test_up__home_is_a_file(home: Path) -> None:
    home.write_text("")
    done = berth(home, "up")
    assert done.code == Exit.USAGE
    assert "BERTH_HOME" in done.err


def test_doctor__nothing_runs(home: Path) -> None:
    done = berth(home, "doctor", "--json")
    found = {finding["what"]: finding["verdict"] for finding in done.json()}
    assert done.code == Exit.OK
    assert found["stack"] == "note"
    assert found["agent scripted"] == "ok"
    assert "isolation" in found
