"""What the engine tells of an end, as the manager takes it."""

from pathlib import Path

import pytest

from chassis.ids import new_id
from executor_manager.containers.docker_engine import Engine, State
from executor_manager.containers.docker_places import DockerPlaces, Volumes
from executor_manager.containers.docker_view import View
from tests.executor_manager.containers.contract import spec

KILLED, ENDED = 137, "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("told", "code", "out_of_memory"),
    [
        (True, KILLED, True),
        # of a child, which its executor survived
        (True, 0, False),
        (True, 7, False),
        (True, 143, False),
        # by somebody's hand
        (False, KILLED, False),
    ],
)
def test_end__is_out_of_memory_only_if_it_ended_the_first_process(
    tmp_path: Path, *, told: bool, code: int, out_of_memory: bool
) -> None:
    places = DockerPlaces(Volumes(tmp_path / "s", tmp_path / "k"))
    view = View(new_id(), Engine("unix:///nowhere", 1.0), places)
    state = State(status="exited", exit_code=code, pid=0, finished_at=ENDED, oom_killed=told)
    assert view._container(spec().identity, state).out_of_memory is out_of_memory
