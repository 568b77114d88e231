"""Where the directories of the docker backend's containers are: on two volumes, by what they hold.

    <state>/workers/<short>/    container.json, workspace (the agent's), spool (the executor's)
    <sockets>/<short>/          control (the executor's), agent (its group may connect)

The relay is given the second volume and thus nothing of any session but its sockets. The
directories outlive the container: one that the engine lost is made again over them.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from executor_manager.containers import places
from executor_manager.containers.backend import Directories, Identity
from executor_manager.containers.docker_bindings import Bindings
from executor_manager.containers.docker_configuration import AGENT
from executor_manager.containers.errors import NameTaken
from executor_manager.containers.places import Owner, Record

ROOT = Owner(0, 0)
CONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Volumes:
    state: Path
    sockets: Path

    def directories(self, name: str) -> Directories:
        short = places.short(name)
        ours, sockets = self.state / "workers" / short, self.sockets / short
        return Directories(
            workspace=ours / "workspace",
            spool=ours / "spool",
            control=sockets / "control",
            agent=sockets / "agent",
        )


class DockerPlaces:
    """As this process sees them."""

    def __init__(self, volumes: Volumes) -> None:
        self.volumes = volumes
        self._workers = volumes.state / "workers"
        self._trashes = (volumes.state / "trash", volumes.sockets / "trash")
        self.bindings = Bindings()

    def open(self) -> None:
        """Raises `BackendError` when sockets would have paths that are too long."""
        sockets = self.volumes.sockets
        places.require_short(sockets, f"sockets' directory {sockets}")
        for path in (self._workers, sockets, *self._trashes):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for record in self.records()[0]:
            self.bindings.load(record.identity, self.volumes.directories(record.name))

    def directories(self, name: str) -> Directories:
        return self.volumes.directories(self.bindings.made_as(name))

    def make(self, record: Record) -> Record:
        """What was recorded first; of one that was bound, as it was made. Raises `NameTaken`,
        OSError. Repeated, it completes.
        """
        made = self.directories(record.name)
        own, sockets = made.workspace.parent, made.control.parent
        for parent in (own, sockets):
            parent.mkdir(mode=0o700, exist_ok=True)
        found = places.read(own / places.RECORD, Record)
        if found is not None and found.name != self.bindings.made_as(record.name):
            raise NameTaken(f"{own} belongs to {found.name}")
        places.own(made.workspace, 0o700, AGENT)
        places.own(made.spool, 0o700, ROOT)
        places.own(made.control, 0o700, ROOT)
        places.own(made.agent, 0o750, Owner(0, AGENT.gid))
        if found is None:
            places.write(own / places.RECORD, record)
        return found or record

    def bind(self, made: Identity, identity: Identity, egress: Sequence[str]) -> None:
        """Raises `NameTaken`, OSError."""
        if self.record(identity.name) is not None:
            raise NameTaken(f"{identity.name} has directories here")
        self.bindings.bind(made, identity, self.directories(made.name), egress)

    def record(self, name: str) -> Record | None:
        """As it was made. None, too, of a warm one that became somebody's, by its former name."""
        path = self.directories(name).workspace.parent / places.RECORD
        found = places.read(path, Record)
        return found if found and self.bindings.whose(found.identity).name == name else None

    def records(self) -> tuple[list[Record], list[str]]:
        """And the directories that have none."""
        found: list[Record] = []
        strangers: list[str] = []
        for place in sorted(self._workers.iterdir()):
            record = places.read(place / places.RECORD, Record)
            if record is not None and place.name == places.short(record.name):
                found.append(record)
            elif place.exists():  # not thrown away just now
                strangers.append(str(place))
        return found, strangers

    def throw_away(self, name: str) -> list[Path]:
        """Gone at once for whoever looks; the returned directories can be deleted at leisure."""
        made, bins = self.directories(name), list[Path]()
        # the record goes last: what was broken off in between is found by it and goes on
        pairs = zip(reversed(self._trashes), (made.control, made.workspace), strict=True)
        for trash, directory in pairs:
            bin_ = trash / uuid4().hex
            try:
                bin_.mkdir(mode=0o700)
                directory.parent.rename(bin_ / "0")
            except FileNotFoundError:
                bin_.rmdir()
                continue
            places.sync(directory.parent.parent)
            bins.append(bin_)
        self.bindings.forget(name)
        return bins

    def bins(self) -> list[Path]:
        """What a former manager threw away and did not delete."""
        return [bin_ for trash in self._trashes for bin_ in trash.iterdir()]


def used(directories: Directories) -> bool:
    """Something is in them that may have to be saved. What cannot be looked at may hold it."""
    try:
        return any(os.scandir(directories.workspace)) or any(os.scandir(directories.spool))
    except OSError:
        return True


def answers(directories: Directories) -> bool:
    """Whether a process still listens on the executor's socket, whatever the engine says."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(CONNECT_SECONDS)
        try:
            asking.connect(str(directories.control / places.SOCKET))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True
