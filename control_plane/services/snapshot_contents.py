"""Content of files in a snapshot: frame by frame with one ranged read each, checked, as it is
taken; and a directory of them as a zip archive.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator
from itertools import islice

from chassis.errors import BerthError
from chassis.files.ranges import Stretch
from chassis.files.sensitive import Sensitive
from chassis.files.zips import ZipPieces
from contracts.errors import Code
from contracts.workspace_files import MOST_ARCHIVED, MOST_ARCHIVED_BYTES
from control_plane.services import snapshot_trees as trees
from control_plane.services.manifests import Manifests
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind, Part

FRAMES_KEPT = 2
"""Small files that follow each other are in one frame."""
BATCH = 200
PIECE_BYTES = 256 * 1024


class Contents:
    """Of one manifest. Raises `snapshot_damaged`."""

    def __init__(self, manifests: Manifests, manifest: Manifest) -> None:
        self._manifests = manifests
        self._manifest = manifest
        self._frames: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    async def of(self, item: Item, stretch: Stretch) -> AsyncGenerator[bytes]:
        begin, end = stretch.start, stretch.start + stretch.length
        place = 0
        for part in item.parts:
            first, last = max(begin - place, 0), min(end - place, part.size)
            place += part.size
            if first >= last:
                continue
            if part.is_hole:
                for start in range(first, last, PIECE_BYTES):
                    yield bytes(min(PIECE_BYTES, last - start))
            else:
                yield (await self._part(part))[first:last]

    async def _part(self, part: Part) -> bytes:
        key = (part.pack, part.offset)
        frame = self._frames.get(key)
        if frame is None:
            frame = await self._manifests.frame(self._manifest, part)
            self._frames[key] = frame
            while len(self._frames) > FRAMES_KEPT:
                self._frames.popitem(last=False)
        return await self._manifests.stretch(frame, part)


def require_archivable(manifest: Manifest, path: bytes) -> None:
    """Before its first byte is sent."""
    size = 0
    for count, item in enumerate(trees.beneath(manifest, path), start=1):
        size += item.size
        if count > MOST_ARCHIVED or size > MOST_ARCHIVED_BYTES:
            most = f"{MOST_ARCHIVED} entries and {MOST_ARCHIVED_BYTES} bytes"
            raise BerthError(Code.TOO_LARGE, f"a download has at most {most}: take a part")


async def archived(
    manifests: Manifests, manifest: Manifest, path: bytes, withheld: Sensitive
) -> AsyncGenerator[bytes]:
    """A zip of what is beneath `path`; what is withheld is left out, and its end says so."""
    contents, archive = Contents(manifests, manifest), ZipPieces()
    top = len(path) + 1 if path else 0
    items = trees.beneath(manifest, path)
    while batch := await asyncio.to_thread(_some, items):
        for item in batch:
            inner, mtime = item.path[top:], item.mtime_ns / 1_000_000_000
            if withheld.covers(item.path):
                archive.leave_out(inner, "its name needs a permission of its own")
            elif item.kind is Kind.DIRECTORY:
                yield archive.directory(inner, item.mode, mtime)
            elif item.kind is Kind.LINK:
                yield archive.link(inner, item.target, mtime)
            else:
                content = await asyncio.to_thread(trees.resolved, manifest, item)
                yield archive.begin(inner, item.mode, mtime)
                async for piece in contents.of(content, Stretch(0, content.size)):
                    yield await asyncio.to_thread(archive.content, piece)
                yield archive.end()
    yield archive.finish()


def _some(items: Iterator[Item]) -> list[Item]:
    return list(islice(items, BATCH))
