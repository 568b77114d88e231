"""What the end of an attempt says of its save."""

from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from chassis.clock import SystemClock
from executor.reporter import RunReporter
from executor.services.runs.finishing import Covered, save_run
from executor.services.saves import Saves


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
