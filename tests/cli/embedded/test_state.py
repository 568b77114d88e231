import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.server import bind
from cli.embedded.errors import DiskFull, PortTaken, StateInUse, StateUnusable
from cli.embedded.ports import Ports, is_free
from cli.embedded.processes import PLAIN_ENV
from cli.embedded.secret_files import read_secret, write_secret
from cli.embedded.state import open_state, require_room


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_open_state__only_one_holder(tmp_path: Path) -> None:
    with (
        open_state(tmp_path / "home") as state,
        pytest.raises(StateInUse, match=f"in use by process {os.getpid()}"),
        open_state(state.home),
    ):
        pass
    with open_state(tmp_path / "home"):
        pass


def test_open_state__a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os,sys,pathlib,cli.embedded.state as s\n"
        "with s.open_state(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    root = str(Path(__file__).parents[3])
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "home")],
        env={**PLAIN_ENV, "PYTHONPATH": root},
        check=False,
    )
    assert ended.returncode == -9
    with open_state(tmp_path / "home"):
        pass


def test_open_state__secrets_are_made_once_and_ours_alone(tmp_path: Path) -> None:
    with open_state(tmp_path / "home") as state:
        secrets = state.secrets
        first = read_secret(secrets.password("database"))
        private, public = secrets.signing_key("identity")
        key = private.read_text()
        service_key = read_secret(secrets.service_key("gateway"))
    with open_state(tmp_path / "home") as state:
        secrets = state.secrets
        assert read_secret(secrets.password("database")) == first
        assert secrets.signing_key("identity") == (private, public)
        assert private.read_text() == key
        assert read_secret(secrets.service_key("gateway")) == service_key
        assert mode(secrets.folder) == 0o700
        assert {mode(path) for path in secrets.folder.iterdir()} == {0o600}
    assert "PRIVATE KEY" in key
    assert "PRIVATE" not in public.read_text()
    assert service_key.startswith("bsk_gateway_")


def test_write_secret__keeps_what_is_there(tmp_path: Path) -> None:
    write_secret(tmp_path / "s", "first")
    write_secret(tmp_path / "s", "second")
    assert (tmp_path / "s").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_open_state__not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match="Set BERTH_HOME"), open_state(tmp_path / "file"):
        pass


def test_open_state__too_little_room(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFull, match="Free some space"),
        open_state(tmp_path, least_free_bytes=2**60),
    ):
        pass
    require_room(tmp_path, 1)


def test_ports__stay_from_run_to_run(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json")
    given = {name: first.pick(name) for name in ("gateway", "control_plane", "postgres")}
    assert len(set(given.values())) == 3
    second = Ports(tmp_path / "ports.json")
    assert {name: second.pick(name) for name in given} == given
    assert second.pick("gateway") == given["gateway"]
    assert second.pick_again("gateway") != given["gateway"]


def test_ports__a_taken_one_is_replaced_or_refused(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    listener = bind()
    taken = int(listener.getsockname()[1])
    listener.listen()
    try:
        assert not is_free(taken)
        with pytest.raises(PortTaken, match=f"Port {taken} for gateway is taken"):
            ports.pick("gateway", wanted=taken)
        (tmp_path / "ports.json").write_text(f'{{"gateway": {taken}}}')
        assert Ports(tmp_path / "ports.json").pick("gateway") != taken
    finally:
        listener.close()


def test_ports__torn_file(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"gate')
    assert Ports(tmp_path / "ports.json").pick("gateway") > 1024
