"""What the items of a stored manifest must be before anybody trusts them: whoever wrote it may be
hostile.
"""

from snapshots.errors import BadPath, Corrupt
from snapshots.model import FRAME_LIMIT, HASH_BYTES, Item, Kind, Pack, Part, Totals
from snapshots.paths import order, parts_of

MODES = 0o7777
LATEST_NS = 2**63 - 1


class Checks:
    """Of the items as they come; each raises `Corrupt`."""

    def __init__(self, packs: list[Pack]) -> None:
        if len({pack.key for pack in packs}) != len(packs):
            raise Corrupt("a pack is named twice")
        self._packs = packs
        self._last: list[bytes] | None = None
        self._above: list[bytes] = []
        """The directories that the walk is in, whole paths."""
        self._count = self._files = self._bytes = 0

    @property
    def totals(self) -> Totals:
        return Totals(self._count, self._files, self._bytes)

    def item(self, item: Item) -> None:
        try:
            parts_of(item.path)
        except BadPath as error:
            raise Corrupt(str(error)) from error
        place = order(item.path)
        if self._last is not None and place <= self._last:
            raise Corrupt(f"out of order: {item.path[:300]!r}")
        self._last = place
        if not (0 <= item.mode <= MODES and abs(item.mtime_ns) <= LATEST_NS):
            raise Corrupt(f"an impossible mode or time: {item.path[:300]!r}")
        self._beneath(item)
        self._content(item)
        self._count += 1
        if item.kind is Kind.FILE or item.kind is Kind.TWIN:
            self._files += 1
            self._bytes += item.content_bytes

    def _beneath(self, item: Item) -> None:
        above = item.path.rpartition(b"/")[0]
        while self._above and self._above[-1] != above:
            self._above.pop()
        if above and not self._above:
            raise Corrupt(f"beneath no directory: {item.path[:300]!r}")
        if item.kind is Kind.DIRECTORY:
            self._above.append(item.path)

    def _content(self, item: Item) -> None:
        if item.kind is not Kind.FILE and (item.parts or item.size):
            raise Corrupt(f"no file, and content: {item.path[:300]!r}")
        if item.kind is Kind.LINK and (not item.target or b"\0" in item.target):
            raise Corrupt(f"a link without a target: {item.path[:300]!r}")
        if item.kind is Kind.TWIN and order(item.target) >= order(item.path):
            raise Corrupt(f"a twin of nothing before it: {item.path[:300]!r}")
        if sum(part.size for part in item.parts) != item.size:
            raise Corrupt(f"the sizes differ: {item.path[:300]!r}")
        for part in item.parts:
            if not self._fits(part):
                raise Corrupt(f"a part's place is impossible: {item.path[:300]!r}")

    def _fits(self, part: Part) -> bool:
        if part.is_hole:
            return part.size > 0
        return (
            0 <= part.pack < len(self._packs)
            and 0 < part.size <= FRAME_LIMIT
            and len(part.hash) == HASH_BYTES
            and part.offset >= 0
            and part.length > 0
            and 0 <= part.start <= FRAME_LIMIT
            and part.offset + part.length <= self._packs[part.pack].length
        )
