"""A session comes from an archive of another installation, or of this one (`contracts.archives`).

Nothing of it is believed: each member is the one that must come next and no larger than it may be,
each item of the manifest is checked as a restore checks it, each pack holds what the manifest says
and nothing else, and the end's hash is that of all before it. Only then one transaction makes the
session. What was uploaded before an import failed is named by nobody, and collected.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, TypeVar
from uuid import UUID

import msgspec

from chassis.errors import BerthError, NotFound
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.objects import ObjectStore
from chassis.telemetry import current_trace_id
from contracts.archives import (
    ARCHIVE_FORMAT,
    CHUNK_BYTES,
    END,
    HEAD,
    MANIFEST,
    MOST_JSON_BYTES,
    MOST_LINE_BYTES,
    MOST_TRANSCRIPT_BYTES,
    ArchiveEnd,
    ArchiveHead,
    pack_name,
    transcript_name,
)
from contracts.errors import Code
from contracts.session_events import SessionCreated, SessionImported
from contracts.sessions import Session
from contracts.snapshots import MAX_OBJECT_BYTES
from contracts.wire import Wire
from control_plane.domain.archives import Lines
from control_plane.domain.packs import Upload, session_prefix
from control_plane.services.apps import Apps
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.imported_log import check_lines, insert_log
from control_plane.services.imported_manifest import (
    checked_manifest,
    kept_manifest,
    parts_of_packs,
    prove,
)
from control_plane.services.slots import Slots
from control_plane.services.tars import TarReader, wrong
from control_plane.store import archives, audit, packs, session_saves, session_states
from control_plane.store import sessions as session_store
from control_plane.store.archives import NewSnapshotRow
from control_plane.store.database import Database, Unit
from snapshots.manifest import Manifest
from snapshots.model import Pack

T = TypeVar("T", bound=Wire)

AT_ONCE, OF_ONE = 4, 2
"""In this process, and of one person; whoever comes later waits."""
PACKS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """What an archive becomes."""

    session_id: UUID
    project_id: UUID
    snapshot_id: UUID
    by: UUID


@dataclass(frozen=True, slots=True)
class _Received:
    head: ArchiveHead
    manifest: Manifest
    manifest_key: str
    manifest_sha256: str
    packs: list[Pack]
    transcript: IO[bytes]
    sha256: str
    """Of the archive, for whoever sends it twice."""


class Imports:
    """`limit`: bytes of an archive."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        *,
        idempotency: Idempotency,
        apps: Apps,
        limit: int,
    ) -> None:
        self._database = database
        self._objects = objects
        self._idempotency = idempotency
        self._apps = apps
        self._limit = limit
        self._slots = Slots(AT_ONCE, each=OF_ONE)

    async def take(
        self, ask: Ask, parts: AsyncIterator[bytes], *, project_id: UUID, by: UUID
    ) -> Once[Session]:
        """Raises `validation_failed`, `too_large`, `agent_not_found`, `rate_limited`."""
        new = _New(session_id=new_id(), project_id=project_id, snapshot_id=new_id(), by=by)
        with tempfile.TemporaryFile() as transcript:
            await self._slots.wait(by)
            with self._slots.taken(by):
                reader = TarReader(parts, limit=self._limit)
                received = await self._received(reader, new, transcript)
            await failpoint("import.received")

            async def work(unit: Unit) -> Session:
                return await _made(unit, new, received)

            whole = hashlib.sha256(f"{ask.request_hash} {received.sha256}".encode()).hexdigest()
            return await self._idempotency.once(
                Ask(user_id=ask.user_id, key=ask.key, request_hash=whole), work, Session
            )

    async def _received(self, reader: TarReader, new: _New, transcript: IO[bytes]) -> _Received:
        head = _decoded(await _member(reader, HEAD, MOST_JSON_BYTES), ArchiveHead, HEAD)
        if head.format != ARCHIVE_FORMAT:
            raise wrong(f"an archive of format {ARCHIVE_FORMAT}", f"it is of {head.format}")
        async with self._database.unit() as unit:
            await self._apps.require_agent(unit, head.session.agent)
        stored = await _member(reader, MANIFEST, MAX_OBJECT_BYTES)
        manifest = await asyncio.to_thread(checked_manifest, stored, head)
        kept = await self._packs(reader, new, manifest)
        lines = await _transcript(reader, transcript)
        content = await asyncio.to_thread(kept_manifest, manifest, kept)
        key = f"{_prefix(new)}{new_id()}.manifest"
        await self._put(new, Upload(key=key, purpose="manifest", length=len(content)), content)
        sha256 = hashlib.sha256(content).hexdigest()
        return _Received(head, manifest, key, sha256, kept, transcript, lines)

    async def _packs(self, reader: TarReader, new: _New, manifest: Manifest) -> list[Pack]:
        """Each is proven, then put under a key of its own."""
        kept: list[Pack] = []
        for start in range(0, len(manifest.packs), PACKS_AT_ONCE):
            numbers = range(start, min(start + PACKS_AT_ONCE, len(manifest.packs)))
            parts = await asyncio.to_thread(parts_of_packs, manifest, numbers)
            for number in numbers:
                content = await _member(reader, pack_name(number), MAX_OBJECT_BYTES)
                if len(content) != manifest.packs[number].length:
                    raise wrong("packs as long as the manifest says", pack_name(number))
                await asyncio.to_thread(prove, content, parts[number], pack_name(number))
                key = f"{_prefix(new)}{new_id()}.pack"
                upload = Upload(key=key, purpose="pack", length=len(content))
                await self._put(new, upload, content)
                kept.append(Pack(key, len(content)))
        return kept

    async def _put(self, new: _New, upload: Upload, content: bytes) -> None:
        async with self._database.unit() as unit:
            await packs.record(
                unit, project_id=new.project_id, session_id=new.session_id, uploads=[upload]
            )
        await self._objects.put(upload.key, content)


async def _member(reader: TarReader, name: str, most: int) -> bytes:
    found = await reader.next()
    if found is None or found[0] != name:
        raise wrong(f"{name} here", "nothing is" if found is None else repr(found[0][:100]))
    return await reader.content(found[1], most=most, name=name)


def _decoded(content: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise wrong(f"a {name} as this version knows it", str(error)[:300]) from error


async def _transcript(reader: TarReader, transcript: IO[bytes]) -> str:
    """Checked line by line, kept in a file; and the archive's hash."""
    lines, number, size = Lines(), 0, 0
    while (found := await reader.next()) is not None and found[0] == transcript_name(number):
        most = CHUNK_BYTES + MOST_LINE_BYTES
        content = await reader.content(found[1], most=most, name=found[0])
        size += len(content)
        if size > 3 * MOST_TRANSCRIPT_BYTES:
            raise BerthError(Code.TOO_LARGE, "the archive's transcript is too long")
        await asyncio.to_thread(check_lines, lines, content, found[0])
        await asyncio.to_thread(transcript.write, content)
        number += 1
    if found is None or found[0] != END:
        raise wrong(f"{END} here", "nothing is" if found is None else repr(found[0][:100]))
    before = reader.before
    end = _decoded(await reader.content(found[1], most=MOST_JSON_BYTES, name=END), ArchiveEnd, END)
    if lines.bare or end.sha256 != before or (end.runs, end.events) != (lines.runs, lines.events):
        raise wrong("what its end says", "something was changed on the way")
    if await reader.next() is not None:
        raise wrong(f"nothing behind {END}", "there is another member")
    return before


def _prefix(new: _New) -> str:
    return f"{session_prefix(new.project_id, new.session_id)}0/"


async def _made(unit: Unit, new: _New, received: _Received) -> Session:
    head = received.head
    await session_store.insert_stream(unit, new.session_id, new.project_id)
    await archives.insert_session(
        unit, head.session, session_id=new.session_id, project_id=new.project_id, by=new.by
    )
    runs = await insert_log(
        unit, received.transcript, session_id=new.session_id, project_id=new.project_id
    )
    loaded = await session_states.lock(unit, [new.session_id])
    state = loaded.states[new.session_id]
    state.trace_id = current_trace_id()
    state.session.head_snapshot_id = new.snapshot_id
    state.tell(SessionCreated(title=head.session.title, agent=head.session.agent), project=True)
    told = state.tell(
        SessionImported(
            session_id=head.session.id, snapshot_id=head.snapshot_id, runs=runs, by=new.by
        )
    )
    await session_saves.save(unit, loaded)
    await _insert_snapshot(unit, new, received, seq=told.seq)
    await audit.record(
        unit,
        new.project_id,
        actor=new.by,
        action="session.import",
        target=str(new.session_id),
        detail={"from": str(head.session.id), "sha256": received.sha256},
    )
    session = await session_store.get(unit.connection, new.session_id)
    if session is None:
        raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {new.session_id}")
    return session


async def _insert_snapshot(unit: Unit, new: _New, received: _Received, *, seq: int) -> None:
    totals = received.manifest.totals
    row = NewSnapshotRow(
        id=new.snapshot_id,
        project_id=new.project_id,
        session_id=new.session_id,
        manifest_key=received.manifest_key,
        manifest_sha256=received.manifest_sha256,
        files=totals.files,
        bytes=totals.bytes,
        new_bytes=sum(pack.length for pack in received.packs),
        items=totals.items,
        seq=seq,
    )
    await archives.insert_snapshot(unit, row)
    await packs.name_for(unit, new.snapshot_id, [pack.key for pack in received.packs])
