"""Where a container lives on disk, and its record; here the process backend's way.

`<workers>/<short>/` is the manager's own (others may only pass through it):
`container.json` whose it is, `launch.json`, `keeper.lock`, `process.json`, `log`, `paused`, and the
five directories, which are the executor's.
"""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec

from executor_manager.containers.backend import ContainerSpec, Directories, Identity, Limits
from executor_manager.containers.errors import BackendError, NameTaken

RECORD = "container.json"
PAUSED = "paused"
SOCKET = "executor.sock"
SOCKET_BYTES = 107
"""Longest path of a Unix socket."""

SHORT = 16

T = TypeVar("T")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Written before anything is started: what is found without one was never a container."""

    name: str
    worker_id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    environment: dict[str, str]
    image: str | None = None
    """The id of what was allowed, whatever its name means by now; None: of a former version."""
    runtime: str = ""
    limits: Limits = Limits()

    @property
    def identity(self) -> Identity:
        return Identity(
            worker_id=self.worker_id,
            session_id=self.session_id,
            project_id=self.project_id,
            epoch=self.epoch,
        )


def record_of(spec: ContainerSpec, *, image: str | None = None, runtime: str = "") -> Record:
    identity = spec.identity
    return Record(
        name=identity.name,
        worker_id=identity.worker_id,
        session_id=identity.session_id,
        project_id=identity.project_id,
        epoch=identity.epoch,
        environment=dict(spec.environment),
        image=image,
        runtime=runtime,
        limits=spec.limits,
    )


@dataclass(frozen=True, slots=True)
class Owner:
    """None: the manager's own user."""

    uid: int | None = None
    gid: int | None = None


def short(name: str) -> str:
    """80 bits of the name: a socket below it must stay short, and the record holds the full one."""
    digest = hashlib.blake2s(name.encode(), digest_size=10).digest()
    return base64.b32encode(digest).decode().lower()


def require_short(parent: Path, named: str) -> None:
    """Raises `BackendError` when sockets of those beneath `parent` would have too long a path."""
    beneath = f"/{'-' * SHORT}/control/{SOCKET}"
    longest = len(os.fsencode(parent)) + len(beneath)
    if longest > SOCKET_BYTES:
        raise BackendError(
            f"the {named} is too long: sockets in it would have paths of {longest} bytes, and"
            f" {SOCKET_BYTES} are allowed; choose one that is {longest - SOCKET_BYTES} bytes"
            " shorter"
        )


def directories(place: Path) -> Directories:
    return Directories(
        workspace=place / "workspace",
        spool=place / "spool",
        control=place / "control",
        agent=place / "agent",
        home=home(place),
    )


def home(place: Path) -> Path:
    return place / "home"


def make(place: Path, record: Record, owner: Owner) -> Record:
    """Raises `NameTaken`, OSError. Repeated, it completes what was interrupted."""
    place.mkdir(mode=0o700, exist_ok=True)
    place.chmod(0o711 if owner.uid is not None else 0o700)
    found = read(place / RECORD, Record)
    if found is not None and found.name != record.name:
        raise NameTaken(f"{place} belongs to {found.name}")
    made = directories(place)
    for path, mode in (
        (made.workspace, 0o700),
        (made.spool, 0o700),
        (made.control, 0o700),
        (made.agent, 0o750),
        (home(place), 0o700),
    ):
        own(path, mode, owner)
    if found is None:
        write(place / RECORD, record)
    return found or record


def own(path: Path, mode: int, owner: Owner) -> None:
    path.mkdir(mode=mode, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if owner.uid is not None:
            os.fchown(descriptor, owner.uid, owner.uid if owner.gid is None else owner.gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def read(path: Path, kind: type[T]) -> T | None:
    """None: absent, or not what it should be."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def write(path: Path, content: Any) -> None:  # noqa: ANN401  # anything that becomes JSON
    """Durable, and whole or not at all."""
    _written_beside(path, content).replace(path)
    sync(path.parent)


def write_once(path: Path, content: Any) -> bool:  # noqa: ANN401  # as above
    """As `write`; False: something was there before, and stays."""
    beside = _written_beside(path, content)
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    sync(path.parent)
    return True


def _written_beside(path: Path, content: Any) -> Path:  # noqa: ANN401  # as above
    beside = path.with_name(f".{path.name}.{uuid4().hex}")  # two may write at once
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(content))
        file.flush()
        os.fsync(file.fileno())
    return beside


def sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
