"""What manifests say of packs, compared with the packs' bytes. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from snapshots.content import checked, opened
from snapshots.errors import Corrupt
from snapshots.manifest import Manifest
from snapshots.model import Part


class Stretch(NamedTuple):
    """A part, wherever it is named."""

    offset: int
    """Of its frame in the pack."""
    length: int
    start: int
    size: int
    hash: bytes


class Wrong(NamedTuple):
    key: str
    found: str
    offset: int = 0
    length: int = 0
    stretch: Stretch | None = None
    """None: all of the pack."""


class Hit(NamedTuple):
    """A file that a wrong place is of."""

    path: bytes
    wrong: Wrong


def stretches(manifest: Manifest, keys: AbstractSet[str]) -> Iterator[tuple[str, Stretch]]:
    """What a manifest names in these packs. Raises `Unusable`."""
    numbers = {n: pack.key for n, pack in enumerate(manifest.packs) if pack.key in keys}
    if not numbers:
        return
    for item in manifest.items():
        for part in item.parts:
            if part.pack in numbers:
                yield numbers[part.pack], _stretch(part)


def check(
    key: str, content: bytes, wanted: AbstractSet[Stretch], lengths: AbstractSet[int]
) -> list[Wrong]:
    """Every frame that is named, and every part in it."""
    wrongs = [
        Wrong(key, f"{_size(content, length)} bytes in place of {length}", length=length)
        for length in sorted(lengths)
        if len(content) != length
    ]
    frames: defaultdict[tuple[int, int], list[Stretch]] = defaultdict(list)
    for stretch in wanted:
        frames[stretch.offset, stretch.length].append(stretch)
    for offset, length in sorted(frames):
        wrongs += _frame(key, content, sorted(frames[offset, length]))
    return wrongs


def _frame(key: str, content: bytes, stretches: list[Stretch]) -> Iterator[Wrong]:
    offset, length = stretches[0].offset, stretches[0].length
    try:
        frame = _opened(content, offset, length)
    except Corrupt as error:
        for stretch in stretches:
            yield Wrong(key, error.detail, offset, length, stretch)
        return
    for stretch in stretches:
        try:
            checked(frame, Part(size=stretch.size, hash=stretch.hash, start=stretch.start))
        except Corrupt as error:
            yield Wrong(key, error.detail, offset, length, stretch)


def _opened(content: bytes, offset: int, length: int) -> bytes:
    if offset + length > len(content):
        raise Corrupt(f"the pack ends before it, at {len(content)}")
    return opened(memoryview(content)[offset : offset + length])


def hits(manifest: Manifest, wrongs: list[Wrong], most: int) -> tuple[list[Hit], int]:
    """The files that have something wrong, each once for each place; the first `most`, and how
    many there are. A pack that is wrong as a whole concerns all that is in it.
    """
    whole = {wrong.key: wrong for wrong in wrongs if wrong.stretch is None}
    places = {(wrong.key, wrong.stretch): wrong for wrong in wrongs if wrong.stretch is not None}
    keys = {wrong.key for wrong in wrongs}
    named = {n: pack.key for n, pack in enumerate(manifest.packs) if pack.key in keys}
    found: list[Hit] = []
    count = 0
    for item in manifest.items() if named else ():
        of_item = {
            wrong
            for part in item.parts
            if (key := named.get(part.pack)) is not None
            if (wrong := _wrong(key, part, whole, places)) is not None
        }
        count += len(of_item)
        found += [Hit(item.path, wrong) for wrong in sorted(of_item, key=_place)][
            : most - len(found)
        ]
    return found, count


def _wrong(
    key: str,
    part: Part,
    whole: Mapping[str, Wrong],
    places: Mapping[tuple[str, Stretch], Wrong],
) -> Wrong | None:
    if (wrong := places.get((key, _stretch(part)))) is not None:
        return wrong
    wrong = whole.get(key)
    return None if wrong is None else wrong._replace(offset=part.offset, length=part.length)


def _place(wrong: Wrong) -> tuple[str, int]:
    return wrong.key, wrong.offset


def _stretch(part: Part) -> Stretch:
    return Stretch(part.offset, part.length, part.start, part.size, part.hash)


def _size(content: bytes, length: int) -> str:
    return f"{len(content)}" if len(content) < length else f"more than {length}"
