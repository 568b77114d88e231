"""What the manager tells the next executor of how the former one ended."""

from dataclasses import replace
from pathlib import Path

import pytest

from chassis.ids import new_id
from contracts.executors import ENDED_FILE
from contracts.reasons import Reason
from executor_manager.containers.backend import Container, ContainerState, Directories, Identity
from executor_manager.services.former_ends import tell_end


@pytest.fixture
def starved(tmp_path: Path) -> Container:
    control = tmp_path / "control"
    control.mkdir()
    return Container(
        identity=Identity(worker_id=new_id(), session_id=new_id(), project_id=new_id(), epoch=1),
        state=ContainerState.EXITED,
        directories=Directories(
            workspace=tmp_path, spool=tmp_path, control=control, agent=tmp_path
        ),
        out_of_memory=True,
    )


def test_out_of_memory__is_told(starved: Container) -> None:
    tell_end(starved)
    tell_end(starved)
    told = starved.directories.control / ENDED_FILE
    assert told.read_text() == Reason.OUT_OF_MEMORY
    assert [one.name for one in starved.directories.control.iterdir()] == [ENDED_FILE]


def test_another_end__is_not(starved: Container) -> None:
    tell_end(replace(starved, out_of_memory=False))
    assert list(starved.directories.control.iterdir()) == []


@pytest.mark.parametrize("name", [ENDED_FILE, f".{ENDED_FILE}"])
def test_links_of_the_session__are_replaced_and_not_followed(
    starved: Container, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (starved.directories.control / name).symlink_to(elsewhere)
    tell_end(starved)
    assert elsewhere.read_text() == "mine"
    assert not (starved.directories.control / ENDED_FILE).is_symlink()
