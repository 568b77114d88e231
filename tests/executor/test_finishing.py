"""What the end of an attempt says of its save."""

import errno
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from chassis.clock import SystemClock
from executor.reporter import RunReporter
from executor.services.runs.finishing import Covered, save_run
from executor.services.saves import Saves
from tests.executor.outside import Outside
from tests.executor.running import running


class Late:
    """Its commit is spooled; what follows fails."""

    dirty = True
    head: UUID | None = None

    async def acknowledged(self, _: object) -> UUID:
        self.head, self.dirty = uuid4(), False
        raise OSError(28, "No space left on device", str(Path("base.manifest")))


async def test_save_run__what_fails_after_the_commit_is_no_unsaved_run() -> None:
    saves: Any = Late()
    run = cast("RunReporter", None)
    covered = await save_run(cast("Saves", saves), run, deadline=0.2, clock=SystemClock())
    assert covered == Covered(saves.head, unsaved=False)


class Failing:
    dirty = True
    head: UUID | None = None

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def acknowledged(self, _: object) -> UUID:
        raise self._error


class Hearing:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def warning(self, code: str, detail: str) -> None:
        self.told.append((code, detail))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "f"), "raise the session's disk_mib"),
        (OSError(errno.EIO, "Input/output error", "f"), "disk_error: Input/output error"),
        (TimeoutError(), "deadline"),
    ],
)
async def test_save_run__an_unsaved_run_says_why(error: BaseException, words: str) -> None:
    saves, run = cast("Saves", Failing(error)), Hearing()
    reporter = cast("RunReporter", run)
    covered = await save_run(saves, reporter, deadline=0.05, clock=SystemClock())
    assert covered == Covered(None, unsaved=True)
    ((code, detail),) = run.told
    assert code == "workspace_unsaved"
    assert words in detail


async def test_finish__of_what_is_beyond_a_limit_says_what_to_do(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside, max_entries=5) as executor:
        await executor.start({"shell": "mkdir -p many && cd many && touch 1 2 3 4 5 6"})
        assert (await executor.finish()).unsaved
    (warning,) = outside.events("run.warning")
    assert warning["code"] == "workspace_unsaved"
    assert warning["detail"].startswith("too_many_entries: more than 5 files")
    assert ".berthignore" in warning["detail"]
