"""What doctor says of the sandbox where no stack runs."""

from pathlib import Path

import pytest

from cli.doctor.sandbox import look_at_sandbox


@pytest.mark.bwrap
def test_bubblewrap__that_works_is_said() -> None:
    finding = look_at_sandbox()
    assert finding.verdict == "ok", finding.found


def test_no_bubblewrap__is_a_note_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = look_at_sandbox()
    assert (finding.what, finding.verdict) == ("sandbox", "note")
    assert "bwrap is not here" in finding.found
    assert "bubblewrap" in finding.how
