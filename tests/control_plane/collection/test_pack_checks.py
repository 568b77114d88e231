"""A pack's bytes against what manifests say of them: each wrong place, and none besides."""

import random

import pytest
import zstandard
from blake3 import blake3

from control_plane.domain.pack_checks import Stretch, check, hits, stretches
from snapshots.manifest import Limits, Manifest, ManifestWriter
from snapshots.model import Item, Kind, Pack, Part

KEY = "p/pack"
OTHER = "p/other"
LIMITS = Limits(max_items=1000, max_bytes=1 << 40)
CONTENTS = [bytes([65 + n]) * 40 + random.Random(n).randbytes(40) for n in range(9)]


@pytest.fixture
def made() -> tuple[bytes, Manifest]:
    """Nine files in three frames, the last one in another pack too; a hole, a directory."""
    content, items = b"", list[Item]()
    for number in range(0, 9, 3):
        frame = zstandard.ZstdCompressor(write_checksum=False).compress(
            b"".join(CONTENTS[number : number + 3])
        )
        for place, one in enumerate(CONTENTS[number : number + 3]):
            part = Part(80, blake3(one).digest(), 1, len(content), len(frame), place * 80)
            items.append(_file(b"f%d" % (number + place), part))
        content += frame
    items.append(_file(b"hole", Part(10)))
    items.append(_file(b"other", Part(5, blake3(b"other").digest(), 0, 0, 14)))
    writer = ManifestWriter()
    for item in items:
        writer.add(item)
    stored = writer.finish([Pack(OTHER, 14), Pack(KEY, len(content))], [])
    return content, Manifest(stored, LIMITS)


def _file(path: bytes, *parts: Part) -> Item:
    return Item(path, Kind.FILE, 0o644, 1, size=sum(part.size for part in parts), parts=parts)


def _wanted(manifest: Manifest) -> set[Stretch]:
    found = list(stretches(manifest, {KEY}))
    assert {key for key, _ in found} == {KEY}
    return {stretch for _, stretch in found}


def test_check__finds_nothing_in_what_was_saved(made: tuple[bytes, Manifest]) -> None:
    content, manifest = made
    assert len(_wanted(manifest)) == 9
    assert check(KEY, content, _wanted(manifest), {len(content)}) == []


def test_check__names_the_part_of_each_flipped_byte(made: tuple[bytes, Manifest]) -> None:
    content, manifest = made
    wanted = _wanted(manifest)
    ends = sorted({(one.offset, one.offset + one.length) for one in wanted})
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 0x20
        wrongs = check(KEY, bytes(broken), wanted, {len(content)})
        start, end = next(frame for frame in ends if frame[0] <= place < frame[1])
        assert {wrong.offset for wrong in wrongs} <= {start}, place
        if place - start > 12:  # the frame's head may say the same in several ways
            assert wrongs, (place, end)


def test_check__of_one_that_was_cut_names_the_frames_behind(made: tuple[bytes, Manifest]) -> None:
    content, manifest = made
    wanted = _wanted(manifest)
    last = max(one.offset for one in wanted)
    wrongs = check(KEY, content[: last + 5], wanted, {len(content)})
    assert [wrong.found for wrong in wrongs if wrong.stretch is None] == [
        f"{last + 5} bytes in place of {len(content)}"
    ]
    assert {wrong.offset for wrong in wrongs if wrong.stretch} == {last}
    longer = check(KEY, content + b"?", wanted, {len(content)})
    assert [wrong.found for wrong in longer] == [
        f"more than {len(content)} bytes in place of {len(content)}"
    ]


def test_hits__are_the_files_of_what_is_wrong(made: tuple[bytes, Manifest]) -> None:
    content, manifest = made
    wanted = _wanted(manifest)
    lie = {
        one._replace(hash=bytes(32)) if one.offset == 0 and not one.start else one for one in wanted
    }
    (wrong,) = check(KEY, content, lie, {len(content)})
    truth = next(one for one in wanted if one.offset == 0 and not one.start)
    found, count = hits(manifest, [wrong._replace(stretch=truth)], 10)
    assert ([hit.path for hit in found], count) == ([b"f0"], 1)


def test_hits__of_a_pack_that_is_missing_are_all_in_it(made: tuple[bytes, Manifest]) -> None:
    _, manifest = made
    (missing,) = check(OTHER, b"", set(), {14})
    found, count = hits(manifest, [missing], 10)
    assert ([hit.path for hit in found], count) == ([b"other"], 1)
    (missing,) = check(KEY, b"", set(), {14})
    found, count = hits(manifest, [missing], 4)
    assert ([hit.path for hit in found], count) == ([b"f0", b"f1", b"f2", b"f3"], 9)
    assert found[3].wrong.offset > found[0].wrong.offset
