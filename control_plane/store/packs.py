"""Uploaded objects and the snapshots that name them. Nothing that is named is ever collected.

Who names packs locks their rows first, in the order of keys; who collects them locks the same rows,
and looks under the lock whether they are named. A pack that is *gone* is named by nobody any more:
it may stand in the store for another moment, and naming it is refused.

Snapshots name all that they need: packs, their manifest, their spool. Lock order: session streams,
then packs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from chassis.errors import NotFound, Stale
from contracts.errors import Code
from control_plane.domain.packs import Naming, Upload, is_of, owner_of, purpose_of
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("packs")

_Key = tuple[UUID, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A snapshot whose packs are to be found in its manifest."""

    id: UUID
    project_id: UUID
    session_id: UUID
    manifest_key: str
    manifest_sha256: str
    spool_key: str | None
    damaged: bool


async def record(
    unit: Unit, *, project_id: UUID, session_id: UUID, uploads: Sequence[Upload]
) -> None:
    """Before anything is uploaded there."""
    await unit.connection.execute(
        QUERIES["record"],
        project_id,
        session_id,
        [one.key for one in uploads],
        [one.purpose for one in uploads],
        [one.length for one in uploads],
    )


async def lock(unit: Unit, namings: Sequence[Naming]) -> set[UUID]:
    """Locks what they name, until the transaction's end. Gives the snapshots that name something
    which is gone, was never uploaded, or is not theirs.
    """
    wanted = sorted({key for naming in namings for key in naming.all_keys})
    if not wanted:
        return set()
    all_known: bool = await unit.connection.fetchval(QUERIES["all_known"])
    found = {one["key"]: one for one in await unit.connection.fetch(QUERIES["lock"], wanted)}
    foreign = await _named_before(unit.connection, namings, found)
    refused = {
        naming.snapshot_id
        for naming in namings
        if not all(
            _may_name(naming, key, found.get(key), foreign, all_known=all_known)
            for key in naming.all_keys
        )
    }
    taken = [naming for naming in namings if naming.snapshot_id not in refused]
    rowless = {key for naming in taken for key in naming.all_keys if key not in found}
    await adopt(unit, [_unmeasured(key) for key in rowless])
    return refused


async def name(unit: Unit, namings: Sequence[Naming]) -> None:
    """After `lock`, in the same transaction, once the snapshots' rows are there."""
    keys = sorted({key for naming in namings for key in naming.all_keys})
    if not keys:
        return
    pairs = [(naming.snapshot_id, key) for naming in namings for key in naming.all_keys]
    await unit.connection.execute(
        QUERIES["name"], [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    )
    await unit.connection.execute(QUERIES["pardon"], keys)
    whole = [naming.snapshot_id for naming in namings if naming.whole]
    await unit.connection.execute(QUERIES["known"], whole)


async def name_for(unit: Unit, snapshot_id: UUID, keys: Iterable[str]) -> None:
    """For a snapshot whose row this transaction has inserted: `keys` are all the packs that its
    manifest names, also another session's of the same project; the manifest's own and the spool's
    are added. Raises Stale `snapshot_packs_gone`; `NotFound` where there is no such snapshot.
    """
    record = await unit.connection.fetchrow(QUERIES["snapshot"], snapshot_id)
    if record is None:
        raise NotFound(Code.NOT_FOUND, f"there is no snapshot {snapshot_id}")
    naming = Naming(
        snapshot_id=snapshot_id,
        project_id=record["project_id"],
        session_id=record["session_id"],
        packs=tuple(keys),
        others=_own(record["project_id"], record["manifest_key"], record["spool_key"]),
        whole=True,
        trusted=True,
    )
    if await lock(unit, [naming]):
        raise Stale(Code.SNAPSHOT_PACKS_GONE, "packs that it names are gone: save it again")
    await name(unit, [naming])


async def adopt(unit: Unit, uploads: Sequence[Upload]) -> None:
    """Rows for objects that have none; whose they are is in their keys."""
    if not uploads:
        return
    owned = [(one, owner_of(one.key)) for one in uploads]
    rows = [(one, owner) for one, owner in owned if owner is not None]
    await unit.connection.execute(
        QUERIES["adopt"],
        [one.key for one, _ in rows],
        [owner.project_id for _, owner in rows],
        [owner.session_id for _, owner in rows],
        [one.purpose for one, _ in rows],
        [one.length for one, _ in rows],
    )


async def named_by(connection: Connection, session_id: UUID, keys: Sequence[str]) -> set[str]:
    """Those of `keys` that a snapshot of the session names."""
    records = await connection.fetch(QUERIES["named_before"], [session_id], list(keys))
    return {record["pack_key"] for record in records}


async def unknown(
    connection: Connection, *, fresh: bool, but: Sequence[UUID], limit: int
) -> list[Unknown]:
    """`fresh`: without those whose manifests could not be read before."""
    records = await connection.fetch(QUERIES["unknown"], fresh, list(but), limit)
    return [Unknown(**dict(record.items())) for record in records]


async def learn(unit: Unit, snapshot: Unknown, packs: Sequence[Upload]) -> list[str] | None:
    """What its manifest says that a snapshot names. Gives the packs that are gone: it names the
    others. None: the snapshot itself was deleted meanwhile.
    """
    if not await unit.connection.fetchval(QUERIES["lock_snapshot"], snapshot.id):
        return None
    own = _own(snapshot.project_id, snapshot.manifest_key, snapshot.spool_key)
    keys = {*(pack.key for pack in packs), *own}
    found = await unit.connection.fetch(QUERIES["lock"], sorted(keys))
    gone = sorted(one["key"] for one in found if one["gone"])
    await adopt(unit, [*packs, *(_unmeasured(key) for key in own)])
    naming = Naming(
        snapshot_id=snapshot.id,
        project_id=snapshot.project_id,
        session_id=snapshot.session_id,
        packs=tuple(keys.difference(gone)),
        others=(),
        whole=True,
        trusted=True,
    )
    await name(unit, [naming])
    return gone


def _own(project_id: UUID, *keys: str | None) -> tuple[str, ...]:
    return tuple(key for key in keys if key is not None and is_of(project_id, key))


def _unmeasured(key: str) -> Upload:
    return Upload(key=key, purpose=purpose_of(key), length=None)


async def _named_before(
    connection: Connection, namings: Sequence[Naming], found: dict[str, asyncpg.Record]
) -> set[_Key]:
    others = {
        key
        for naming in namings
        if not naming.trusted
        for key in naming.all_keys
        if key in found and found[key]["session_id"] != naming.session_id
    }
    if not others:
        return set()
    sessions = [naming.session_id for naming in namings if not naming.trusted]
    records = await connection.fetch(QUERIES["named_before"], sessions, sorted(others))
    return {(record["session_id"], record["pack_key"]) for record in records}


def _may_name(
    naming: Naming,
    key: str,
    found: asyncpg.Record | None,
    foreign: set[_Key],
    *,
    all_known: bool,
) -> bool:
    if found is None:
        # uploaded before there were rows, as long as not every older manifest has been read
        return not all_known and is_of(naming.project_id, key)
    if found["gone"] or found["project_id"] != naming.project_id:
        return False
    own: bool = found["session_id"] == naming.session_id
    return own or naming.trusted or (naming.session_id, key) in foreign
