"""Which warm container became which session's: recorded before it is used, once.

A warm container is made before anybody asks, under a worker id of its own, by which the engine
knows it for good. `binding.json` beside its record is the one truth of whose it is; from then on
everything here finds it by the name of that session and epoch.
"""

from collections.abc import Sequence

import msgspec

from contracts.executors import ASSIGNED_FILE, Assigned
from executor_manager.containers import places
from executor_manager.containers.backend import Directories, Identity
from executor_manager.containers.errors import NameTaken

BINDING = "binding.json"


class Bindings:
    """Of the places below one directory, which nobody but this process changes."""

    def __init__(self) -> None:
        self._made_as: dict[str, str] = {}
        self._bound: dict[str, Identity] = {}

    def made_as(self, name: str) -> str:
        """The name by which the engine and its directories know it."""
        return self._made_as.get(name, name)

    def whose(self, made: Identity) -> Identity:
        """Itself, but for a warm one that became somebody's."""
        return self._bound.get(made.name, made) if made.is_warm else made

    def load(self, made: Identity, directories: Directories) -> None:
        """What a former manager recorded."""
        found = places.read(directories.workspace.parent / BINDING, Assigned)
        if made.is_warm and found is not None:
            self._remember(made, _identity(found))

    def bind(
        self, made: Identity, identity: Identity, directories: Directories, egress: Sequence[str]
    ) -> None:
        """Raises `NameTaken`, OSError. What the executor reads comes before the record: a container
        that is bound needs nothing more than to go on.
        """
        record = directories.workspace.parent / BINDING
        if record.exists():
            # before its executor is told of another session
            raise NameTaken(f"{made.name} is another session's")
        told = Assigned(
            worker_id=identity.worker_id,
            session_id=identity.session_id,
            project_id=identity.project_id,
            epoch=identity.epoch,
            egress=list(egress),
        )
        # it is paused, and never ran anything but our own program: nobody else writes there yet
        outside = directories.control.with_name(f".{ASSIGNED_FILE}")
        outside.write_bytes(msgspec.json.encode(told))
        outside.chmod(0o600)
        outside.replace(directories.control / ASSIGNED_FILE)
        if not places.write_once(record, told):
            raise NameTaken(f"{made.name} is another session's")
        self._remember(made, identity)

    def forget(self, name: str) -> None:
        self._bound.pop(self._made_as.pop(name, name), None)

    def _remember(self, made: Identity, identity: Identity) -> None:
        self._bound[made.name] = identity
        self._made_as[identity.name] = made.name


def _identity(told: Assigned) -> Identity:
    return Identity(
        worker_id=told.worker_id,
        session_id=told.session_id,
        project_id=told.project_id,
        epoch=told.epoch,
    )
