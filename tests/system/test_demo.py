"""`berth demo`, as a newcomer runs it: its last line, and nothing left."""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from cli.agents import offers
from cli.demo.play import Summary
from cli.settings import search_path
from tests.fixtures.commands import ROOT


def demo_passes(agent: str) -> None:
    environment = {"PATH": search_path(), "HOME": str(Path.home()), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="bd", dir="/tmp") as folder:  # sockets' paths are short
        Path(folder).chmod(0o711)
        done = subprocess.run(
            [sys.executable, "-m", "cli", "demo", "--agent", agent],
            env={**environment, "TMPDIR": folder},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=220,
            check=False,
        )
        left = list(Path(folder).iterdir())
    assert done.returncode == 0, done.stdout + done.stderr
    summary = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert list(summary) == list(Summary.__struct_fields__)
    assert summary["ok"] is True
    assert summary["run_state"] == "succeeded"
    assert summary["resumed"] == "native"
    assert summary["events"] > 20
    assert 0 < summary["first_event_ms"] < 60_000
    assert left == []


@pytest.mark.timeout(240)
def test_demo__its_last_line() -> None:
    demo_passes("scripted")


@pytest.mark.agents
@pytest.mark.timeout(240)
def test_demo__with_the_real_claude_code() -> None:
    missing = {offer.agent: offer.missing for offer in offers(search_path())}["claude-code"]
    if missing is not None:
        pytest.skip(f"agents: {missing.what}: {missing.how}")
    demo_passes("claude-code")
