"""Snapshots' manifests and what they name, read from the object store and checked.

Whoever wrote them may be hostile: sizes are bounded before anything is unpacked, and whoever walks
items has a deadline. Objects are read in threads, so is what is unpacked.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from chassis.errors import BerthError, NotFound
from chassis.objects import ObjectStore
from contracts.errors import Code
from contracts.snapshots import MAX_OBJECT_BYTES
from control_plane.domain.packs import is_of, owner_of
from snapshots.content import checked, opened
from snapshots.errors import Corrupt, Unusable
from snapshots.format_one import converted
from snapshots.manifest import MAGIC, Limits, Manifest
from snapshots.model import FRAME_LIMIT, Item, Pack, Part

RAW_BYTES = 8 * 1024 * 1024
"""Of a segment: its thousand items have 300 bytes each, or parts of half a terabyte."""
LIMITS = Limits(max_items=2_000_000, max_bytes=1024 * 1024 * 1024 * 1024, raw_bytes=RAW_BYTES)
KEPT_BYTES = 64 * 1024 * 1024
"""Of manifests as they are stored, for whoever turns pages."""
WALK_SECONDS = 20.0
"""For one walk over items, in a thread."""
LOOK_AT_CLOCK = 1000
FRAME_LENGTH = 2 * FRAME_LIMIT
"""As stored: more than what cannot be compressed takes."""


class Manifests:
    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._kept: OrderedDict[tuple[UUID, str], bytes] = OrderedDict()
        """By the project whose packs they name, and their hash."""

    async def read(self, key: str, sha256: str) -> Manifest:
        """Raises BerthError `snapshot_damaged`, also where it names what is not its project's;
        `DependencyUnavailable`.
        """
        owner = owner_of(key)
        if owner is None:
            raise damaged("its manifest is no session's")
        place = (owner.project_id, sha256)
        stored = self._kept.get(place)
        if stored is None:
            stored = await asyncio.to_thread(_converted, await self._fetched(key, sha256))
            manifest = await asyncio.to_thread(_opened, stored)
            await asyncio.to_thread(_require_own, manifest, owner.project_id)
            self._keep(place, stored)
            return manifest
        self._kept.move_to_end(place)
        return await asyncio.to_thread(_opened, stored)

    async def content(self, manifest: Manifest, item: Item, *, limit: int) -> bytes:
        """A file's, whole. Raises `snapshot_damaged`; ValueError for more than `limit` bytes."""
        if item.size > limit:
            raise ValueError(f"{item.size} bytes")
        sizes = [part.size for part in item.parts]
        if sum(sizes) != item.size or any(size < 0 for size in sizes):
            raise damaged("the sizes of a file's parts differ from its own")
        frames: dict[tuple[int, int], bytes] = {}
        found: list[bytes] = []
        for part in item.parts:
            if part.is_hole:
                found.append(bytes(part.size))
                continue
            place = (part.pack, part.offset)
            if place not in frames:
                frames[place] = await self.frame(manifest, part)
            found.append(await self.stretch(frames[place], part))
        return b"".join(found)

    async def pack(self, pack: Pack) -> bytes:
        """Raises `snapshot_damaged` where it is gone, or not as long as it was."""
        if pack.length > MAX_OBJECT_BYTES:
            raise damaged("a pack is too large")
        try:
            found = await self._objects.get_at_most(pack.key, pack.length)
        except NotFound as error:
            raise damaged("a pack is gone") from error
        if len(found) != pack.length:
            raise damaged(f"a pack is not {pack.length} bytes long any more")
        return found

    async def frame(self, manifest: Manifest, part: Part) -> bytes:
        """As it is stored. Raises `snapshot_damaged`."""
        if not 0 <= part.pack < len(manifest.packs) or not 0 < part.length <= FRAME_LENGTH:
            raise damaged("a part's place is impossible")
        key = manifest.packs[part.pack].key
        try:
            return await self._objects.get_range(key, offset=part.offset, length=part.length)
        except NotFound as error:
            raise damaged("a pack is gone") from error

    @staticmethod
    async def stretch(frame: bytes, part: Part) -> bytes:
        """A part's content in its frame. Raises `snapshot_damaged`."""
        return await asyncio.to_thread(_stretch, frame, part)

    async def _fetched(self, key: str, sha256: str) -> bytes:
        try:
            stored = await self._objects.get_at_most(key, MAX_OBJECT_BYTES)
        except NotFound as error:
            raise damaged("its manifest is gone") from error
        if len(stored) > MAX_OBJECT_BYTES:
            raise damaged("its manifest is too large")
        if await asyncio.to_thread(_sha256, stored) != sha256:
            raise damaged("its manifest is not what was saved")
        return stored

    def _keep(self, place: tuple[UUID, str], stored: bytes) -> None:
        self._kept[place] = stored
        while sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)


def walked(
    items: Iterable[Item],
    *,
    seconds: float = WALK_SECONDS,
    refusal: Callable[[str], BerthError] | None = None,
) -> Iterator[Item]:
    """Raises `refusal`, `snapshot_damaged` if it is left out, for items that cannot be, or that
    take too long.
    """
    refused = refusal or damaged
    deadline = time.monotonic() + seconds
    try:
        for number, item in enumerate(items):
            if number % LOOK_AT_CLOCK == 0 and time.monotonic() > deadline:
                raise refused(f"its manifest takes longer than {seconds:g} s to read")
            yield item
    except Unusable as error:
        raise refused(str(error)) from error


def damaged(why: str) -> BerthError:
    return BerthError(
        Code.SNAPSHOT_DAMAGED, f"the snapshot cannot be read: {why}; choose an earlier one"
    )


def _converted(stored: bytes) -> bytes:
    """In today's format."""
    try:
        return stored if stored.endswith(MAGIC) else converted(stored, LIMITS)
    except Unusable as error:
        raise damaged(str(error)) from error


def _opened(stored: bytes) -> Manifest:
    try:
        return Manifest(stored, LIMITS)
    except Unusable as error:
        raise damaged(str(error)) from error


def _require_own(manifest: Manifest, project_id: UUID) -> None:
    """What it names is read with our keys, whoever wrote it."""
    for pack in manifest.packs:
        if not is_of(project_id, pack.key):
            raise damaged("it names what is not its project's")


def _stretch(frame: bytes, part: Part) -> bytes:
    try:
        return bytes(checked(opened(frame), part))
    except Corrupt as error:
        raise damaged(str(error)) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
