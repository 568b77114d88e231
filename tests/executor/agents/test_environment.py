"""What tools find in their environment: by the listener's port, only what the policy grants."""

import shutil
import subprocess
from pathlib import Path

import pytest

from executor.agents.environment import tools_environment

ORIGIN = "http://127.0.0.1:8119"
PLAIN = {"HOME", "PATH", "LANG", "TERM", "SHELL", "USER", "TMPDIR"}


def made(tmp_path: Path, *granted: str, origin: str | None = ORIGIN) -> dict[str, str]:
    path = "/usr/local/bin:/usr/bin:/bin"
    return tools_environment(home=tmp_path, path=path, granted=granted, origin=origin)


def test_environment__without_a_grant_or_a_way_out_names_none(tmp_path: Path) -> None:
    assert set(made(tmp_path)) == PLAIN
    assert set(made(tmp_path, "pypi", "npm", "git", "tunnel", origin=None)) == PLAIN
    assert set(made(tmp_path, "of-a-later-version")) == PLAIN


@pytest.mark.parametrize(
    ("granted", "wanted"),
    [
        ("pypi", {"PIP_INDEX_URL": f"{ORIGIN}/pypi/simple/"}),
        ("npm", {"npm_config_registry": f"{ORIGIN}/npm/", "npm_config_audit": "false"}),
        ("tunnel", {"HTTPS_PROXY": ORIGIN, "https_proxy": ORIGIN}),
        ("tunnel", {"NO_PROXY": "127.0.0.1,localhost,::1"}),
        ("git", {"GIT_TERMINAL_PROMPT": "0"}),
    ],
)
def test_environment__names_what_is_granted(
    tmp_path: Path, granted: str, wanted: dict[str, str]
) -> None:
    found = made(tmp_path, granted)
    assert wanted.items() <= found.items()
    assert (
        not wanted.items() & made(tmp_path, *({"pypi", "npm", "git", "tunnel"} - {granted})).items()
    )


def git(tmp_path: Path, *arguments: str) -> str:
    program = shutil.which("git")
    assert program is not None
    env = made(tmp_path, "git", "tunnel")
    done = subprocess.run(
        [program, *arguments], env=env, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_git__finds_its_way_and_asks_nobody_for_credentials(tmp_path: Path) -> None:
    """As git itself reads it."""
    (tmp_path / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    git(tmp_path, "init", "-q", "r")
    url = "https://git.example.org/berth/docs.git"
    git(tmp_path, "-C", "r", "remote", "add", "origin", url)
    wanted = f"{ORIGIN}/git/git.example.org/berth/docs.git"
    assert git(tmp_path, "-C", "r", "ls-remote", "--get-url", "origin") == wanted
    helpers = git(tmp_path, "config", "--get-all", "credential.helper")
    assert helpers == "store", "and an empty one behind it, which forgets those before"
    assert git(tmp_path, "config", "credential.helper") == ""
