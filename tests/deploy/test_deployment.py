"""The secrets of a deployment: made once, handed out, and never more than a service needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.deployment import SERVICES_UID, Settings, shares
from cli.settings import search_path
from control_plane.domain.model_keys import secret_of

pytestmark = pytest.mark.root
SERVICES = [share.service for share in shares(Settings())]


def run(root: Path, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.deployment", str(root), *words],
        env={"PATH": search_path(), "BERTH_S3_DATA": str(root / "s3-data")},
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the volumes of a first start look like."""
    for name in ("own", "s3-data", *SERVICES):
        (tmp_path / name).mkdir()
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    found = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_first_start__each_service_can_read_its_own(root: Path) -> None:
    assert run(root).returncode == 0
    for share in shares(Settings()):
        directory = root / share.service
        assert sorted(path.name for path in directory.iterdir()) == sorted(share.names)
        assert directory.stat().st_uid == share.uid
        for path in directory.iterdir():
            assert path.stat().st_uid == share.uid
            assert path.stat().st_mode & 0o777 == share.mode
            assert path.read_bytes() == (root / "own" / path.name).read_bytes()
    assert (root / "gateway").stat().st_mode & 0o777 == 0o700
    assert (root / "s3-data").stat().st_uid == Settings().s3_uid


def test_next_start__changes_nothing(root: Path) -> None:
    run(root)
    before = contents(root)
    inodes = {path: path.stat().st_ino for path in root.rglob("*") if path.is_file()}
    assert run(root).returncode == 0
    assert contents(root) == before
    assert {path: path.stat().st_ino for path in inodes} == inodes


def test_upgrade__a_deployment_of_before_gets_its_secret_key(root: Path) -> None:
    """Providers' keys are sealed under it; whatever else there is stays as it was."""
    run(root)
    for place in (root / "own", root / "control-plane"):
        (place / "secret-key").unlink()
    before = contents(root)
    assert run(root).returncode == 0
    after = contents(root)
    made = after["control-plane/secret-key"]
    assert secret_of(made.decode())
    assert after == {**before, "control-plane/secret-key": made, "own/secret-key": made}


def test_lost_volume__is_filled_again(root: Path) -> None:
    run(root)
    before = contents(root)
    (root / "gateway" / "gateway.pem").unlink()
    (root / "control-plane" / "of a former version").write_text("")
    run(root)
    assert contents(root) == before


def test_loosened_file__is_closed_again(root: Path) -> None:
    run(root)
    path = root / "control-plane" / "database-url"
    path.chmod(0o644)
    os.chown(path, 0, 0)
    run(root)
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o400, SERVICES_UID)


def test_absent_volume__belongs_to_another_host(root: Path) -> None:
    (root / "executor-manager").rmdir()
    assert run(root).returncode == 0
    assert not (root / "executor-manager").exists()


def test_set__a_database_that_is_there_already(root: Path) -> None:
    run(root)
    url = "postgresql://us:secret@elsewhere/berth"
    done = run(root, "set", "database-url", said=f"{url}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (root / "control-plane" / "database-url").read_text() == url
    assert (root / "cli" / "database-url").read_text() == url
    run(root)
    assert (root / "control-plane" / "database-url").read_text() == url


@pytest.mark.parametrize(("name", "said"), [("../x", "value"), ("nothing", "value")])
def test_set__a_name_that_nobody_knows(root: Path, name: str, said: str) -> None:
    done = run(root, "set", name, said=said)
    assert done.returncode != 0
    assert name in done.stderr


def test_set__without_a_value(root: Path) -> None:
    done = run(root, "set", "database-url", said=" \n")
    assert done.returncode != 0
    assert "standard input" in done.stderr
