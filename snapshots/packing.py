"""Packs with nothing in them but what one manifest needs, and whether a pack has all of it."""

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from snapshots.content import checked, opened
from snapshots.errors import Corrupt
from snapshots.manifest import Manifest, ManifestWriter
from snapshots.model import Item, Pack, Part

MOST_FRAMES = 1_000_000
MOST_PARTS = 4_000_000
"""Kept in memory at once: a manifest that has more was made to have them."""

Frame = tuple[int, int]
"""Its offset and its length in a pack."""


class Trimmed(msgspec.Struct, frozen=True):
    """How packs become smaller ones: which frames stay, in the order of their places."""

    frames: dict[int, list[Frame]]
    """By the former pack's number."""
    numbers: dict[int, int]
    """Former numbers to new ones."""
    places: dict[tuple[int, int], int]
    """Former pack and offset to the new offset."""

    def lengths(self) -> list[int]:
        """Of the new packs."""
        return [sum(length for _, length in self.frames[number]) for number in self.numbers]

    def part(self, part: Part) -> Part:
        if part.is_hole:
            return part
        place = self.places[part.pack, part.offset]
        return msgspec.structs.replace(part, pack=self.numbers[part.pack], offset=place)

    def pack(self, number: int, content: bytes) -> bytes:
        """What of a former pack stays."""
        return b"".join(content[at : at + length] for at, length in self.frames[number])


def trimmed(items: Iterable[Item]) -> Trimmed:
    """Raises `Corrupt` where frames overlap, or are too many."""
    found: dict[int, set[Frame]] = {}
    known: set[tuple[int, int, int]] = set()
    for item in items:
        for part in item.parts:
            place = (part.pack, part.offset, part.length)
            if not part.is_hole and place not in known:
                known.add(place)
                found.setdefault(part.pack, set()).add((part.offset, part.length))
        if len(known) > MOST_FRAMES:
            raise Corrupt(f"more than {MOST_FRAMES} frames")
    frames = {number: sorted(found[number]) for number in sorted(found)}
    places: dict[tuple[int, int], int] = {}
    for number, kept in frames.items():
        place = 0
        for (offset, length), after in pairwise([*kept, (kept[-1][0] + kept[-1][1], 0)]):
            if offset + length > after[0]:
                raise Corrupt("frames overlap")
            places[number, offset] = place
            place += length
    return Trimmed(frames, {number: new for new, number in enumerate(frames)}, places)


def with_packs(manifest: Manifest, packs: list[Pack], trimming: Trimmed | None = None) -> bytes:
    """A manifest of the same items whose bytes are in other packs."""
    writer = ManifestWriter()
    for item in manifest.items():
        if trimming is None:
            writer.add(item)
        else:
            writer.add(msgspec.structs.replace(item, parts=tuple(map(trimming.part, item.parts))))
    return writer.finish(packs, manifest.skipped)


def parts_in(items: Iterable[Item], numbers: range) -> dict[int, set[Part]]:
    """What items have in these packs. Raises `Corrupt` for too many."""
    found: dict[int, set[Part]] = {number: set() for number in numbers}
    count = 0
    for item in items:
        for part in item.parts:
            if part.pack in found and not part.is_hole:
                found[part.pack].add(part)
                count += 1
        if count > MOST_PARTS:
            raise Corrupt(f"more than {MOST_PARTS} parts in {len(numbers)} packs")
    return found


def check_pack(content: bytes, parts: Iterable[Part]) -> None:
    """Raises `Corrupt` for any wrong byte, and for any that no part's frame has."""
    by_frame: dict[Frame, list[Part]] = {}
    for part in parts:
        by_frame.setdefault((part.offset, part.length), []).append(part)
    place = 0
    for offset, length in sorted(by_frame):
        if offset != place:
            raise Corrupt("frames that nothing needs, or that overlap")
        place += length
        frame = opened(memoryview(content)[offset : offset + length])
        for part in by_frame[offset, length]:
            checked(frame, part)
    if place != len(content):
        raise Corrupt("bytes that nothing needs")
