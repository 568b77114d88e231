"""Stored objects, read and compared with what was saved; what does not agree is read again."""

import asyncio
import hashlib
import io
from collections import OrderedDict
from typing import NamedTuple

import zstandard

from chassis.errors import NotFound
from chassis.objects import CutShort
from contracts.snapshots import MAX_OBJECT_BYTES
from control_plane.domain.pack_checks import Stretch, Wrong, check
from control_plane.domain.packs import is_of
from control_plane.services.object_reads import CUT_SHORT, ObjectReads
from control_plane.services.pace import Pace
from control_plane.services.pack_lists import LIMITS
from control_plane.store.verifications import Unread
from snapshots.errors import Unusable
from snapshots.manifest import Manifest
from snapshots.reading import manifest_of

PARALLEL = 4
"""Packs in memory, and calls to the store."""
KEPT_BYTES = 32 * 1024 * 1024
"""Of manifests as they are stored, from one window to the next."""
SPOOL_CHUNK = 1024 * 1024


class Found(NamedTuple):
    wrongs: list[Wrong]
    bytes_read: int


class ObjectChecks:
    """Every call raises `DependencyUnavailable` when the store is away: that is no damage. What it
    has and always cuts short is.
    """

    def __init__(self, reads: ObjectReads, pace: Pace) -> None:
        self._reads = reads
        self._pace = pace
        self._slots = asyncio.Semaphore(PARALLEL)
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def forget(self) -> None:
        self._kept.clear()

    async def whole_manifest(self, snapshot: Unread) -> tuple[Manifest | None, str]:
        """Every item of it looked at; what is wrong with it, if it cannot be read twice."""
        manifest, why = await self.manifest(snapshot.manifest_key, snapshot.manifest_sha256)
        if manifest is None:
            return None, why
        for pack in manifest.packs:
            if not is_of(snapshot.project_id, pack.key):
                return None, f"it names {pack.key[:200]!r}"
        why = await asyncio.to_thread(_walked, manifest)
        return (None, why) if why else (manifest, "")

    async def manifest(self, key: str, sha256: str) -> tuple[Manifest | None, str]:
        """It, or what is wrong with it both times."""
        manifest, why = await self._manifest(key, sha256)
        return (manifest, why) if manifest is not None else await self._manifest(key, sha256)

    async def _manifest(self, key: str, sha256: str) -> tuple[Manifest | None, str]:
        stored = self._kept.get(sha256)
        if stored is None:
            try:
                stored = await self._reads.at_most(key, MAX_OBJECT_BYTES)
            except NotFound:
                return None, "missing"
            except CutShort:
                return None, CUT_SHORT
            await self._pace.take(len(stored))
            digest = await asyncio.to_thread(_sha256, stored)
            if digest != sha256:
                return None, f"its SHA-256 is {digest}, not {sha256}, of {len(stored)} bytes"
            self._keep(sha256, stored)
        try:
            return await asyncio.to_thread(manifest_of, stored, LIMITS), ""
        except Unusable as error:
            return None, str(error)

    def _keep(self, sha256: str, stored: bytes) -> None:
        self._kept[sha256] = stored
        while sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)

    async def spool(self, key: str) -> str:
        """What is wrong with what a superseded worker could not send any more."""
        why = ""
        for _ in range(2):
            try:
                content = await self._reads.at_most(key, MAX_OBJECT_BYTES)
            except NotFound:
                why = "missing"
                continue
            except CutShort:
                return CUT_SHORT
            await self._pace.take(len(content))
            why = await asyncio.to_thread(_unpackable, content)
            if not why:
                break
        return why

    async def pack(self, key: str, wanted: set[Stretch], lengths: set[int]) -> Found:
        async with self._slots:
            found = await self._look(key, wanted, lengths)
            if found.wrongs:
                again = await self._look(key, wanted, lengths)
                found = Found(again.wrongs, found.bytes_read + again.bytes_read)
            return found

    async def _look(self, key: str, wanted: set[Stretch], lengths: set[int]) -> Found:
        try:
            content = await self._reads.at_most(key, max(lengths, default=0))
        except NotFound:
            return Found([Wrong(key, "missing")], 0)
        except CutShort:
            return Found([Wrong(key, CUT_SHORT)], 0)
        await self._pace.take(len(content))
        return Found(await asyncio.to_thread(check, key, content, wanted, lengths), len(content))


def _walked(manifest: Manifest) -> str:
    """What is wrong with its items."""
    try:
        for _ in manifest.items():
            continue
    except Unusable as error:
        return str(error)
    return ""


def _unpackable(content: bytes) -> str:
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)) as reader:
            while reader.read(SPOOL_CHUNK):
                continue
    except zstandard.ZstdError as error:
        return f"frame: {error}"
    return ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
