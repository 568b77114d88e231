"""A session leaves as one archive, from a snapshot: it may run meanwhile (`contracts.archives`).

Memory is that of one pack, of the manifest, and of a page of the log. Packs hold other files' bytes
too, older ones among them: only frames that the snapshot's files need go into the archive. Every
part is compared with its hash first; what is wrong ends the archive before its end.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import msgspec

from chassis.errors import NotFound
from chassis.version import VERSION
from contracts.archives import (
    CHUNK_BYTES,
    END,
    HEAD,
    MANIFEST,
    MOST_TRANSCRIPT_BYTES,
    ArchivedEvent,
    ArchivedRun,
    ArchivedSession,
    ArchiveEnd,
    ArchiveHead,
    pack_name,
    transcript_name,
)
from contracts.errors import Code
from contracts.runs import TERMINAL, RunState
from contracts.sessions import Session
from control_plane.domain.branches import Cut, Stretch
from control_plane.domain.transcripts import CONVERSATION, read
from control_plane.services import tars
from control_plane.services.forks import no_snapshot
from control_plane.services.manifests import LIMITS, Manifests, damaged, walked
from control_plane.services.slots import Slots
from control_plane.store import archives, audit, branches, transcripts
from control_plane.store import sessions as session_store
from control_plane.store import snapshots as snapshot_store
from control_plane.store.database import Database
from control_plane.store.events import StoredEvent
from snapshots.errors import Unusable
from snapshots.manifest import Manifest
from snapshots.model import Pack, Part
from snapshots.packing import Trimmed, check_pack, parts_in, trimmed, with_packs

AT_ONCE, OF_ONE = 8, 2
"""In this process, and of one person; whoever comes later waits."""
PACKS_AT_ONCE = 64
"""Whose parts are gathered in one walk over the items."""
ROWS_AT_ONCE = 500
WALK_SECONDS = 300.0
LEFT_EARLY = "it was exported in the middle of this"


@dataclass(frozen=True, slots=True)
class _Contents:
    source: Manifest
    trimming: Trimmed
    manifest: Manifest
    """The archive's."""


@dataclass(slots=True)
class _Told:
    """What the transcript has so far."""

    stretches: list[Stretch]
    left_out: int
    numbers: dict[UUID, int] = field(default_factory=dict[UUID, int])
    events: int = 0


class Exports:
    def __init__(self, database: Database, manifests: Manifests) -> None:
        self._database = database
        self._manifests = manifests
        self._slots = Slots(AT_ONCE, each=OF_ONE)

    async def export(
        self, session_id: UUID, snapshot_id: UUID | None, *, by: UUID
    ) -> AsyncGenerator[bytes]:
        """Audited. Raises `session_not_found`, `snapshot_not_found`, `snapshot_damaged`; with
        its first piece `rate_limited`; later, in its middle, `snapshot_damaged` and
        `dependency_unavailable`.
        """
        session, cut, point = await self._found(session_id, snapshot_id, by=by)
        source = await self._manifests.read(point.manifest_key, point.manifest_sha256)
        contents = await asyncio.to_thread(_contents, source)
        told = await self._told(cut)
        return self._pieces(_head(session, cut, contents, told), contents, told, by=by)

    async def _found(
        self, session_id: UUID, snapshot_id: UUID | None, *, by: UUID
    ) -> tuple[Session, Cut, snapshot_store.Point]:
        async with self._database.unit() as unit:
            session = await session_store.get(unit.connection, session_id)
            if session is None:
                raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
            wanted = snapshot_id or session.head_snapshot_id
            point = cut = None
            if wanted is not None:
                point = await snapshot_store.point(unit.connection, session_id, wanted)
                cut = await branches.cut_at(unit, session_id, wanted)
            if point is None or cut is None:
                raise no_snapshot(snapshot_id)
            await audit.record(
                unit,
                session.project_id,
                actor=by,
                action="session.export",
                target=str(session_id),
                detail={"snapshot_id": str(point.id)},
            )
        return session, cut, point

    async def _told(self, cut: Cut) -> _Told:
        """The conversation that had led there, as far back as there is room."""
        kept: list[Stretch] = []
        room, left_out = MOST_TRANSCRIPT_BYTES, 0
        async with self._database.reading() as connection:
            past = await branches.past(connection, cut.session_id, seq=cut.seq, line=cut.line)
            for number, stretch in enumerate(past):
                first: int | None = None
                for line_no, size in await archives.sizes(connection, stretch):
                    room -= size
                    if room < 0:
                        left_out += 1
                    else:
                        first = line_no
                if first is not None:
                    until = cut.until if number == 0 else stretch.until
                    kept.append(Stretch(stretch.session_id, first, stretch.last, until))
        return _Told(kept[::-1], left_out)

    async def _pieces(
        self, head: ArchiveHead, contents: _Contents, told: _Told, *, by: UUID
    ) -> AsyncGenerator[bytes]:
        digest = hashlib.sha256()
        await self._slots.wait(by)
        with self._slots.taken(by):
            async for name, content in self._members(head, contents, told):
                piece = tars.whole(name, content)
                await asyncio.to_thread(digest.update, piece)
                yield piece
        end = ArchiveEnd(sha256=digest.hexdigest(), runs=len(told.numbers), events=told.events)
        yield tars.whole(END, msgspec.json.encode(end)) + tars.END

    async def _members(
        self, head: ArchiveHead, contents: _Contents, told: _Told
    ) -> AsyncGenerator[tuple[str, bytes]]:
        yield HEAD, msgspec.json.encode(head)
        yield MANIFEST, contents.manifest.stored
        async for name, content in self._packs(contents):
            yield name, content
        number = 0
        async for chunk in self._transcript(told):
            yield transcript_name(number), chunk
            number += 1

    async def _packs(self, contents: _Contents) -> AsyncGenerator[tuple[str, bytes]]:
        """Those of the archive, each proven."""
        former = list(contents.trimming.numbers)
        for start in range(0, len(former), PACKS_AT_ONCE):
            numbers = range(start, min(start + PACKS_AT_ONCE, len(former)))
            parts = await asyncio.to_thread(_parts, contents.manifest, numbers)
            for number in numbers:
                whole = await self._manifests.pack(contents.source.packs[former[number]])
                yield (
                    pack_name(number),
                    await asyncio.to_thread(
                        _proven, contents.trimming, former[number], whole, parts[number]
                    ),
                )

    async def _transcript(self, told: _Told) -> AsyncGenerator[bytes]:
        lines = bytearray()
        for stretch in told.stretches:
            after = 0
            while page := await self._page(stretch, after):
                for line in await self._lines(stretch, page, told):
                    lines += line + b"\n"
                    if len(lines) >= CHUNK_BYTES:
                        yield bytes(lines)
                        lines.clear()
                after = page[-1].seq
        if lines:
            yield bytes(lines)

    async def _page(self, stretch: Stretch, after: int) -> list[StoredEvent]:
        async with self._database.reading() as connection:
            return await transcripts.page_on(
                connection, stretch, after=after, kinds=CONVERSATION, rows=ROWS_AT_ONCE
            )

    async def _lines(self, stretch: Stretch, page: list[StoredEvent], told: _Told) -> list[bytes]:
        fresh = {one.run_id for one in page if one.run_id not in told.numbers} - {None}
        async with self._database.reading() as connection:
            runs = await archives.runs(connection, [one for one in fresh if one is not None])
        lines: list[bytes] = []
        for stored in page:
            event = read(stored.payload or "")
            if stored.run_id is None or event is None:
                continue
            if stored.run_id not in told.numbers:
                number = told.numbers[stored.run_id] = len(told.numbers)
                lines.append(msgspec.json.encode(_run(runs[stored.run_id], number, stretch)))
            told.events += 1
            line = ArchivedEvent(
                run=told.numbers[stored.run_id],
                attempt=stored.attempt or 1,
                at=stored.at,
                event=event,
            )
            lines.append(msgspec.json.encode(line))
        return lines


def _head(session: Session, cut: Cut, contents: _Contents, told: _Told) -> ArchiveHead:
    totals = contents.manifest.totals
    return ArchiveHead(
        berth=VERSION,
        session=ArchivedSession(
            id=session.id,
            title=session.title,
            agent=session.agent,
            model=session.model,
            mode=session.mode,
        ),
        snapshot_id=cut.snapshot_id,
        manifest_sha256=hashlib.sha256(contents.manifest.stored).hexdigest(),
        files=totals.files,
        bytes=totals.bytes,
        packs=len(contents.manifest.packs),
        left_out=told.left_out,
    )


def _run(record: asyncpg.Record, number: int, stretch: Stretch) -> ArchivedRun:
    cut = stretch.until is not None and record["line_no"] == stretch.last
    over = not cut and RunState(record["state"]) in TERMINAL
    return ArchivedRun(
        number=number,
        agent=record["agent"],
        prompt=record["prompt"],
        state=record["state"] if over else "canceled",
        output=record["output"] if over else "",
        reason=record["reason"] if over else "canceled",
        detail=record["detail"] if over else LEFT_EARLY,
        created_at=record["created_at"],
        started_at=record["started_at"],
        finished_at=record["finished_at"] if over else None,
    )


def _contents(source: Manifest) -> _Contents:
    """Walks all items: each is checked."""
    try:
        trimming = trimmed(walked(source.items(), seconds=WALK_SECONDS))
        lengths = trimming.lengths()
        packs = [Pack(pack_name(number), length) for number, length in enumerate(lengths)]
        stored = with_packs(source, packs, trimming)
        return _Contents(source, trimming, Manifest(stored, LIMITS))
    except Unusable as error:
        raise damaged(str(error)) from error


def _parts(manifest: Manifest, numbers: range) -> dict[int, set[Part]]:
    try:
        return parts_in(walked(manifest.items(), seconds=WALK_SECONDS), numbers)
    except Unusable as error:
        raise damaged(str(error)) from error


def _proven(trimming: Trimmed, number: int, whole: bytes, parts: set[Part]) -> bytes:
    kept = trimming.pack(number, whole)
    try:
        check_pack(kept, parts)
    except Unusable as error:
        raise damaged(str(error)) from error
    return kept
