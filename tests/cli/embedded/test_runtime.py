"""As root these run as the agents' user; as an ordinary user there is nobody else to run as."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded import runtime as module
from cli.embedded.access import AGENT_USER, User, can_read_tree, switch
from cli.embedded.errors import StateUnusable
from cli.embedded.processes import PLAIN_ENV
from cli.embedded.runtime import Runtime, own_runtime, prepare_runtime

OTHER = AGENT_USER if os.geteuid() == 0 else User(uid=os.geteuid(), gid=os.getegid())


def say(runtime: Runtime, code: str, cwd: Path) -> str:
    done = subprocess.run(
        [str(runtime.python), "-c", code],
        env={**PLAIN_ENV, **runtime.env},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        **switch(runtime.user),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_own_runtime__is_what_runs_us() -> None:
    runtime = own_runtime()
    assert runtime.python == Path(sys.executable)
    assert runtime.user is None
    assert say(runtime, "import executor, contracts, msgspec; print('ok')", Path("/")) == "ok"


def test_prepare__starts_as_the_other_user(open_home: Path) -> None:
    runtime = prepare_runtime(open_home, user=OTHER)
    code = "import os, ssl, executor, chassis, scripted, acp, zstandard; print(os.geteuid())"
    assert say(runtime, code, Path("/")) == str(OTHER.uid)


def test_prepare__nothing_is_imported_from_the_working_directory(open_home: Path) -> None:
    workspace = open_home / "workspace"
    workspace.mkdir(mode=0o755)
    (workspace / "msgspec.py").write_text("raise SystemExit('from the workspace')")
    (workspace / "executor.py").write_text("raise SystemExit('from the workspace')")
    runtime = prepare_runtime(open_home, user=OTHER)
    assert say(runtime, "import msgspec, executor; print('ok')", workspace) == "ok"


def test_prepare__what_is_closed_is_copied(
    open_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where clone, venv and interpreter are below /root."""
    monkeypatch.setattr(module, "can_read_tree", lambda *_: False)
    runtime = prepare_runtime(open_home, user=OTHER)
    [place] = open_home.glob("runtime-*")
    code = "import sys,os,executor,msgspec; print(sys.prefix, executor.__file__, msgspec.__file__)"
    for path in (str(runtime.python), *say(runtime, code, Path("/")).split()):
        assert path.startswith(str(place))
    assert can_read_tree(place, AGENT_USER)
    writable = (
        f"import os; print(any(os.access(p, os.W_OK) for p, _, _ in os.walk({str(place)!r})))"
    )
    assert say(runtime, writable, Path("/")) == str(OTHER != AGENT_USER)


def test_prepare__again_is_the_same_and_former_ones_go(open_home: Path) -> None:
    former, half = open_home / "runtime-0123456789abcdef", open_home / ".runtime-1.partial"
    used = open_home / "runtime-used"
    for folder in (former, half, used):
        folder.mkdir()
    user_of_it = subprocess.Popen(["sleep", "60"], env={**PLAIN_ENV, "PYTHONPATH": f"{used}/berth"})
    try:
        first = prepare_runtime(open_home, user=OTHER)
        assert prepare_runtime(open_home, user=OTHER) == first
    finally:
        user_of_it.kill()
        user_of_it.wait()
    left = {path.name for path in open_home.iterdir()}
    assert used.name in left
    assert not {former.name, half.name} & left
    assert len(left) == 2


def test_prepare__a_home_that_the_user_cannot_enter(open_home: Path) -> None:
    closed = open_home / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StateUnusable, match="Set BERTH_HOME"):
        prepare_runtime(closed / "home", user=AGENT_USER)
