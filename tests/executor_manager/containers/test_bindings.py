"""Whose a warm container became: written once, whoever asks after that."""

from pathlib import Path

import msgspec
import pytest

from chassis.ids import new_id
from contracts.executors import ASSIGNED_FILE, Assigned
from executor_manager.containers.backend import Directories, Identity
from executor_manager.containers.docker_bindings import BINDING, Bindings
from executor_manager.containers.errors import NameTaken


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    for name in ("w/workspace", "w/spool", "k/control", "k/agent"):
        (tmp_path / name).mkdir(parents=True)
    return Directories(
        workspace=tmp_path / "w/workspace",
        spool=tmp_path / "w/spool",
        control=tmp_path / "k/control",
        agent=tmp_path / "k/agent",
    )


def somebody() -> Identity:
    return Identity(worker_id=new_id(), session_id=new_id(), project_id=new_id(), epoch=1)


def test_bound__no_other_binding_reaches_its_executor(directories: Directories) -> None:
    """By bindings that do not know of the first, as another process's would not."""
    made, first = Identity.warm(new_id()), somebody()
    Bindings().bind(made, first, directories, ["git"])
    with pytest.raises(NameTaken):
        Bindings().bind(made, somebody(), directories, [])
    for path in (directories.control / ASSIGNED_FILE, directories.workspace.parent / BINDING):
        told = msgspec.json.decode(path.read_bytes(), type=Assigned)
        assert (told.session_id, told.egress) == (first.session_id, ["git"])


def test_loaded__it_is_found_by_the_session_and_no_more_by_its_own_name(
    directories: Directories,
) -> None:
    made, session = Identity.warm(new_id()), somebody()
    Bindings().bind(made, session, directories, [])
    found = Bindings()
    found.load(made, directories)
    assert found.whose(made) == session
    assert found.made_as(session.name) == made.name
