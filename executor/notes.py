"""What the executor must know after its own restart in the same epoch, in small files.

Each is written whole or not at all. They are good only together with the spool: one of another
worker, epoch or boot is refused, and these with it.
"""

from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from contracts.reasons import Reason
from contracts.snapshots import SnapshotKind
from executor.segments import replace_file
from executor.workspace.index import Index

T = TypeVar("T")

REMEMBERED = 1000
"""Commands and attempts: far more than an epoch sees, so that a redelivery is always known."""


class Layered(msgspec.Struct, frozen=True, kw_only=True):
    """What was laid over the workspace. `blocked`: no run may start."""

    mounts: list[str] = msgspec.field(default_factory=list[str])
    """Absolute paths that belong to layers: no snapshot has them."""
    blocked: Reason | None = None
    detail: str = ""
    warnings: list[str] = msgspec.field(default_factory=list[str])


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The workspace is whole: written last. `snapshot_id` None: it began empty."""

    snapshot_id: UUID | None
    type: SnapshotKind | None = None
    missing_paths: list[str] = msgspec.field(default_factory=list[str])
    required_paths: list[str] = msgspec.field(default_factory=list[str])
    layered: Layered = msgspec.field(default_factory=Layered)


class AttemptNote(msgspec.Struct, frozen=True):
    run_id: UUID
    attempt: int


class Journal(msgspec.Struct, frozen=True):
    """`live`: attempts that were taken and are not yet reported as over."""

    commands: list[UUID] = msgspec.field(default_factory=list[UUID])
    attempts: list[AttemptNote] = msgspec.field(default_factory=list[AttemptNote])
    live: list[AttemptNote] = msgspec.field(default_factory=list[AttemptNote])
    stopping: bool = False


class Notes:
    """Writes block for a moment (one small synced file): they are rare."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.index = Index(directory / "workspace.index")
        self._journal = self._read("journal.json", Journal) or Journal()

    @property
    def restored(self) -> Restored | None:
        return self._read("restored.json", Restored)

    @restored.setter
    def restored(self, value: Restored) -> None:
        self._write("restored.json", value)
        (self._directory / "restoring.json").unlink(missing_ok=True)

    @property
    def restoring(self) -> bool:
        """A restore was begun and is not over: what stands in the workspace is half of it."""
        return (self._directory / "restoring.json").exists()

    def begin_restore(self) -> None:
        self._write("restoring.json", True)

    @property
    def live(self) -> list[AttemptNote]:
        return list(self._journal.live)

    @property
    def stopping(self) -> bool:
        return self._journal.stopping

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._change(stopping=value)

    def knows_command(self, command_id: UUID) -> bool:
        return command_id in self._journal.commands

    def knows_attempt(self, note: AttemptNote) -> bool:
        return note in self._journal.attempts

    def took_command(self, command_id: UUID) -> None:
        self._change(commands=[*self._journal.commands, command_id][-REMEMBERED:])

    def took_attempt(self, note: AttemptNote) -> None:
        attempts = [*self._journal.attempts, note][-REMEMBERED:]
        self._change(attempts=attempts, live=[*self._journal.live, note])

    def attempt_over(self, note: AttemptNote) -> None:
        if note in self._journal.live:
            self._change(live=[one for one in self._journal.live if one != note])

    def _change(self, **changes: object) -> None:
        # on disk first: what a full disk refuses was not taken, and will be delivered again
        changed = msgspec.structs.replace(self._journal, **changes)
        self._write("journal.json", changed)
        self._journal = changed

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self._directory / name
        return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None

    def _write(self, name: str, value: object) -> None:
        replace_file(self._directory / name, msgspec.json.encode(value))
