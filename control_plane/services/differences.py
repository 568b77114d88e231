"""How two snapshots of a session differ: names by pages, one path's text on demand."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_from_bytes
from uuid import UUID

from chassis.errors import NotFound
from chassis.files.cursors import after as after_cursor
from chassis.files.cursors import cursor_of
from chassis.files.names import shown
from contracts.differences import (
    ChangedPath,
    ChangedSide,
    ChangeKind,
    DifferencePage,
    TextDifference,
    TreeKind,
)
from contracts.errors import Code
from control_plane.domain.cursors import Window
from control_plane.domain.differences import MOST_BYTES, TooDifferent, text_of
from control_plane.domain.patches import patch
from control_plane.services.forks import no_snapshot
from control_plane.services.manifests import Manifests, walked
from control_plane.services.sensitive import FileCaller, Opening, SensitiveNames
from control_plane.store import snapshots as store
from control_plane.store.database import Connection, Database
from snapshots.difference import Difference, alike, differences
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind
from snapshots.paths import order

AT_ONCE = 4
"""Walks in this process; whoever comes later waits."""
MOST_WALKED = 300_000
"""Items for one page, of both sides together."""

KINDS = {
    Kind.FILE: TreeKind.FILE,
    Kind.DIRECTORY: TreeKind.DIRECTORY,
    Kind.LINK: TreeKind.LINK,
    Kind.TWIN: TreeKind.HARD_LINK,
}


class Differences:
    def __init__(self, database: Database, manifests: Manifests, names: SensitiveNames) -> None:
        self._database = database
        self._manifests = manifests
        self._names = names
        self._room = asyncio.Semaphore(AT_ONCE)

    async def names(
        self, session_id: UUID, before: UUID | None, after: UUID | None, window: Window
    ) -> DifferencePage:
        """`before` None: nothing; `after` None: the head. Raises `snapshot_not_found`,
        `snapshot_damaged`, `bad_cursor`.
        """
        sides = await self._sides(session_id, before, after)
        scope = f"difference {session_id} {sides.before_id} {sides.after_id}"
        start = after_cursor(scope, window.cursor)
        async with self._room:
            found, last = await asyncio.to_thread(_page, sides, start, window.limit)
        return DifferencePage(
            before=sides.before_id,
            after=sides.after_id,
            items=[_changed(one) for one in found],
            next_cursor=None if last is None else cursor_of(scope, last),
        )

    async def text(
        self,
        session_id: UUID,
        before: UUID | None,
        after: UUID | None,
        path: bytes,
        *,
        by: FileCaller,
    ) -> TextDifference:
        """Raises `not_found` for a path on neither side, `sensitive_path`, and as `names` does."""
        await self._open(session_id, path, by)
        sides = await self._sides(session_id, before, after)
        async with self._room:
            items = await asyncio.to_thread(_both, sides, path)
            one, other = items
            if one is None and other is None:
                raise NotFound(Code.NOT_FOUND, "path: neither snapshot has it")
            text, why = await self._patch(sides, items, path)
        name = shown(path)
        return TextDifference(
            path=name.text,
            escaped=name.escaped,
            change=_kind_of(one, other),
            before=None if one is None else _side(one),
            after=None if other is None else _side(other),
            text=text,
            why=why,
        )

    async def _open(self, session_id: UUID, path: bytes, by: FileCaller) -> None:
        opening = Opening(session_id, "diff", [quote_from_bytes(path)])
        await self._names.require(by, opening)
        async with self._database.unit() as unit:
            await self._names.record(unit, by, opening)

    async def _sides(self, session_id: UUID, before: UUID | None, after: UUID | None) -> "_Sides":
        async with self._database.reading() as connection:
            one = None if before is None else await _point(connection, session_id, before)
            other = await _point(connection, session_id, after)
        return _Sides(
            before,
            other.id,
            None
            if one is None
            else await self._manifests.read(one.manifest_key, one.manifest_sha256),
            await self._manifests.read(other.manifest_key, other.manifest_sha256),
        )

    async def _patch(
        self, sides: "_Sides", items: tuple[Item | None, Item | None], path: bytes
    ) -> tuple[str | None, str]:
        one, other = items
        found: list[tuple[ChangedSide, str] | None] = []
        for manifest, item in ((sides.before, one), (sides.after, other)):
            if item is None or manifest is None:
                found.append(None)
                continue
            content = await self._content(manifest, item)
            if isinstance(content, str):
                return None, content
            text = text_of(content)
            if text is None:
                return None, "binary"
            found.append((_side(item), text))
        try:
            return await asyncio.to_thread(patch, path, found[0], found[1]), ""
        except TooDifferent:
            return None, "too_different"

    async def _content(self, manifest: Manifest, item: Item) -> bytes | str:
        """Or why there is none."""
        if item.kind is Kind.TWIN:
            there = await asyncio.to_thread(_find, manifest, item.target)
            if there is None or there.kind is not Kind.FILE:
                return "no_content"
            item = there
        if item.kind is Kind.DIRECTORY:
            return "no_content"
        if item.kind is Kind.LINK:
            return item.target
        if item.size > MOST_BYTES:
            return "too_large"
        return await self._manifests.content(manifest, item, limit=MOST_BYTES)


@dataclass(frozen=True, slots=True)
class _Sides:
    before_id: UUID | None
    after_id: UUID
    before: Manifest | None
    after: Manifest


async def _point(connection: Connection, session_id: UUID, snapshot_id: UUID | None) -> store.Point:
    if snapshot_id is None:
        found = await store.head(connection, session_id)
    else:
        found = await store.point(connection, session_id, snapshot_id)
    if found is None:
        raise no_snapshot(snapshot_id)
    return found


def _both(sides: _Sides, path: bytes) -> tuple[Item | None, Item | None]:
    return (None if sides.before is None else _find(sides.before, path)), _find(sides.after, path)


def _find(manifest: Manifest, path: bytes) -> Item | None:
    item = next(walked(manifest.items_from(path)), None)
    return item if item is not None and item.path == path else None


def _kind_of(one: Item | None, other: Item | None) -> ChangeKind | None:
    if one is None:
        return ChangeKind.ADDED
    if other is None:
        return ChangeKind.REMOVED
    return None if alike(one, other) else ChangeKind.CHANGED


def _changed(one: Difference) -> ChangedPath:
    name = shown(one.path)
    return ChangedPath(
        path=name.text,
        escaped=name.escaped,
        change=ChangeKind(one.change.value),
        before=None if one.before is None else _side(one.before),
        after=None if one.after is None else _side(one.after),
    )


def _side(item: Item) -> ChangedSide:
    return ChangedSide(kind=KINDS[item.kind], size=item.size, mode=item.mode)


class _Enough(Exception):
    pass


class _Walk:
    """Items of both sides, counted. `place`: up to there everything was compared."""

    def __init__(self) -> None:
        self._left = MOST_WALKED
        self.places: dict[int, bytes] = {}

    def side(self, number: int, manifest: Manifest | None, start: bytes | None) -> Iterator[Item]:
        if manifest is None:
            return
        former: bytes | None = None
        for item in walked(manifest.items_from(start or b"")):
            if former is not None:
                self.places[number] = former
            former = item.path
            if item.path == start:
                continue
            if not self._left:
                raise _Enough
            self._left -= 1
            yield item
        if former is not None:
            self.places[number] = former


def _page(sides: _Sides, start: bytes | None, limit: int) -> tuple[list[Difference], bytes | None]:
    """And the path behind which the next page begins; None: this was the last."""
    walk = _Walk()
    found: list[Difference] = []
    both = differences(walk.side(0, sides.before, start), walk.side(1, sides.after, start))
    try:
        for one in both:
            if len(found) == limit:
                return found, found[-1].path
            found.append(one)
    except _Enough:
        return found, max(walk.places.values(), key=order)
    return found, None
