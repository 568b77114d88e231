"""An agent's own store, looked at from outside: whatever stands there, nobody is held up."""

import os
from pathlib import Path

import pytest

from executor.agents.profile import load_profile
from executor.agents.state import broken_state


@pytest.fixture
def store(tmp_path: Path) -> Path:
    sessions = tmp_path / ".scripted" / "sessions"
    sessions.mkdir(parents=True)
    return sessions / "s.jsonl"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_state__what_is_no_file_is_not_read(tmp_path: Path, store: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(store)
    elif kind == "directory":
        store.mkdir()
    else:
        store.symlink_to("/dev/zero")
    why = broken_state(load_profile("scripted"), home=tmp_path, session_id="s")
    assert why == "the agent's session store is not a file"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"a":1}\n\n{"b":2}\n', None),
        ('{"a":1}\n{"b', None),
        ('{"a"\n{"b":2}\n', "line 1 of the agent's session store is broken"),
        ("[" * 100_000 + "\n", "line 1 of the agent's session store is broken"),
    ],
)
def test_state__lines(tmp_path: Path, store: Path, content: str, why: str | None) -> None:
    store.write_text(content)
    assert broken_state(load_profile("scripted"), home=tmp_path, session_id="s") == why
