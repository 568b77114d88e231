"""Uploaded objects: their keys, and what a snapshot names of them. Pure."""

import re
from dataclasses import dataclass
from uuid import UUID

from contracts.snapshots import SnapshotDraft

_KEY = re.compile(r"p/([0-9a-f]{32})/s/([0-9a-f]{32})/[A-Za-z0-9._/-]{1,300}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    key: str
    purpose: str
    """`pack`, `manifest` or `spool`."""
    length: int | None
    """None: nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    project_id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What a snapshot needs of the store."""

    snapshot_id: UUID
    project_id: UUID
    session_id: UUID
    packs: tuple[str, ...]
    others: tuple[str, ...]
    """Its manifest, its spool."""
    whole: bool
    """These are all of its packs; otherwise its manifest is read later to find them."""
    trusted: bool = False
    """It may name other sessions' packs. Others may only if a snapshot of theirs does already."""

    @property
    def all_keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.packs, *self.others)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """In seconds."""

    checkpoints: float
    """After they were made and their run has ended."""
    sides: float
    condemn: float
    """From an upload until it may be condemned."""
    delete: float
    """From being condemned until it is deleted."""


def session_prefix(project_id: UUID, session_id: UUID) -> str:
    return f"p/{project_id.hex}/s/{session_id.hex}/"


def is_below(prefix: str, key: str) -> bool:
    """An executor names only what lies under its own session's prefix, segment by segment: a store
    may resolve dots.
    """
    return key.startswith(prefix) and not {"", ".", ".."} & set(key.split("/")) and "\0" not in key


def owner_of(key: str) -> Owner | None:
    """Whose prefix it is below: None for what no session uploaded."""
    found = _KEY.fullmatch(key)
    if found is None or {"", ".", ".."} & set(key.split("/")):
        return None
    return Owner(project_id=UUID(found[1]), session_id=UUID(found[2]))


def is_of(project_id: UUID, key: str) -> bool:
    owner = owner_of(key)
    return owner is not None and owner.project_id == project_id


def naming_of(
    draft: SnapshotDraft, *, project_id: UUID, session_id: UUID, spool_key: str | None = None
) -> Naming:
    """Of an executor's commit. Keys that no session of the project can have are left out: whoever
    judges the commit refuses it for them.
    """
    others = (draft.manifest_key, *filter(None, (spool_key,)))
    return Naming(
        snapshot_id=draft.id,
        project_id=project_id,
        session_id=session_id,
        packs=tuple(key for key in draft.packs if is_of(project_id, key)),
        others=tuple(key for key in others if is_of(project_id, key)),
        whole=names_all(draft.packs, draft.bytes),
    )


def names_all(packs: list[str], content: int) -> bool:
    """An executor that knows of `packs` lists them all; one that has content and lists none does
    not know of it.
    """
    return bool(packs) or content == 0


def purpose_of(key: str) -> str:
    suffix = key.rpartition(".")[2]
    return suffix if suffix in {"manifest", "spool"} else "pack"
