"""Packs with nothing in them but what a manifest needs; and packs that say otherwise."""

from collections.abc import Callable

import msgspec
import pytest
from blake3 import blake3

from snapshots.content import checked, laid, opened
from snapshots.errors import Corrupt
from snapshots.manifest import Limits, Manifest, ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from snapshots.packing import check_pack, parts_in, trimmed, with_packs

LIMITS = Limits(100, 1_000_000)
FRAMES = [laid(content) for content in (b"aaa", b"unneeded", b"bbbcc", b"dd")]
PACKS = [FRAMES[0] + FRAMES[1], FRAMES[1], FRAMES[1] + FRAMES[2] + FRAMES[3]]


def part(content: bytes, pack: int, frame: int, start: int = 0) -> Part:
    offset = PACKS[pack].index(FRAMES[frame])
    digest = blake3(content).digest()
    return Part(len(content), digest, pack, offset, len(FRAMES[frame]), start)


def file(path: bytes, *parts: Part) -> Item:
    return Item(path, Kind.FILE, 0o644, 1, size=sum(one.size for one in parts), parts=parts)


ITEMS = [
    file(b"a", part(b"aaa", 0, 0)),
    file(b"b", part(b"bbb", 2, 2), part(b"dd", 2, 3)),
    file(b"c", part(b"cc", 2, 2, start=3)),
    file(b"hole", Part(9)),
]


@pytest.fixture
def manifest() -> Manifest:
    writer = ManifestWriter()
    for item in ITEMS:
        writer.add(item)
    packs = [Pack(f"k{number}", len(pack)) for number, pack in enumerate(PACKS)]
    return Manifest(writer.finish(packs, []), LIMITS)


def test_trimmed__only_what_is_needed(manifest: Manifest) -> None:
    trimming = trimmed(manifest.items())
    kept = [trimming.pack(number, PACKS[number]) for number in trimming.numbers]
    assert kept == [FRAMES[0], FRAMES[2] + FRAMES[3]]
    assert trimming.lengths() == [len(one) for one in kept]
    packs = [Pack(f"packs/{number}", len(pack)) for number, pack in enumerate(kept)]
    small = Manifest(with_packs(manifest, packs, trimming), LIMITS)
    read = {item.path: content_of(item, kept) for item in small.items()}
    assert read == {b"a": b"aaa", b"b": b"bbbdd", b"c": b"cc", b"hole": bytes(9)}
    found = parts_in(small.items(), range(2))
    for number, pack in enumerate(kept):
        check_pack(pack, found[number])
    assert [item.path for item in small.items()] == [item.path for item in ITEMS]


def content_of(item: Item, packs: list[bytes]) -> bytes:
    found = b""
    for one in item.parts:
        if one.is_hole:
            found += bytes(one.size)
            continue
        frame = packs[one.pack][one.offset : one.offset + one.length]
        found += checked(opened(frame), one)
    return found


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda pack: pack[:-1],
    "longer": lambda pack: pack + b"\0",
    "another byte": lambda pack: pack[:-1] + bytes([pack[-1] ^ 1]),
    "frames that nothing needs": lambda pack: pack + FRAMES[1],
    "other frames before": lambda pack: FRAMES[1] + pack,
}


@pytest.mark.parametrize("how", WRONG)
def test_check_pack__refuses(how: str) -> None:
    pack = FRAMES[2] + FRAMES[3]
    parts = {
        msgspec.structs.replace(part(b"bbb", 2, 2), offset=0),
        msgspec.structs.replace(part(b"dd", 2, 3), offset=len(FRAMES[2])),
    }
    check_pack(pack, parts)
    with pytest.raises(Corrupt):
        check_pack(WRONG[how](pack), parts)


def test_check_pack__what_becomes_too_large() -> None:
    """A frame that says it becomes sixteen times what one may."""
    head = b"\x28\xb5\x2f\xfd\xa0" + (1 << 30).to_bytes(4, "little")
    frame = head + (3 << 0 | (1 << 21)).to_bytes(3, "little")
    bomb = Part(1, bytes(32), 0, 0, len(frame))
    with pytest.raises(Corrupt):
        check_pack(frame, {bomb})


def test_trimmed__frames_that_overlap() -> None:
    one = part(b"aaa", 0, 0)
    for other in ({"offset": 1}, {"length": one.length - 1}):
        with pytest.raises(Corrupt, match="overlap"):
            trimmed([file(b"a", one), file(b"b", msgspec.structs.replace(one, **other))])
