"""What must be known after a restart: on disk before it is believed."""

from pathlib import Path
from uuid import uuid4

import pytest

from executor.notes import AttemptNote, Notes, Restored


def test_journal__what_could_not_be_written_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes(tmp_path)
    note, command = AttemptNote(uuid4(), 1), uuid4()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("executor.notes.replace_file", full)
        with pytest.raises(OSError, match="No space"):
            notes.took_attempt(note)
        with pytest.raises(OSError, match="No space"):
            notes.took_command(command)
    assert not notes.knows_attempt(note)
    assert not notes.knows_command(command)
    assert notes.live == []
    notes.took_attempt(note)
    assert Notes(tmp_path).live == [note]


def test_restoring__is_over_with_the_restored_marker(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.begin_restore()
    assert Notes(tmp_path).restoring
    notes.restored = Restored(snapshot_id=None)
    assert not Notes(tmp_path).restoring
    assert Notes(tmp_path).restored == Restored(snapshot_id=None)
