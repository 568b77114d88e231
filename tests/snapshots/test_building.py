"""Trees from outside: what comes back is what came in, and what may not come is refused by name."""

import os
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.building import EntryRefused, TreeBuilder
from snapshots.content import checked, opened
from snapshots.manifest import Limits, Manifest
from snapshots.model import FRAME_BYTES, PACK_BYTES, SMALL_BYTES, Item, Kind, Pack
from snapshots.paths import order

LIMITS = Limits(max_items=10_000, max_bytes=1 << 30)

Tree = list[tuple[Item, bytes]]


class Built:
    def __init__(self, builder: TreeBuilder) -> None:
        self.builder = builder
        self.packs: dict[int, bytes] = {}

    def feed(self, tree: Iterable[tuple[Item, bytes]]) -> None:
        for item, content in tree:
            self.builder.begin(item)
            for start in range(0, len(content), 1_000_000):
                self.builder.content(content[start : start + 1_000_000])
            if item.kind is Kind.FILE:
                self.builder.end()
            self.take()

    def take(self) -> None:
        self.packs |= {made.number: made.content for made in self.builder.full()}

    def manifest(self) -> Manifest:
        self.builder.finish()
        self.take()
        keys = {number: Pack(f"p{number}", len(one)) for number, one in self.packs.items()}
        return Manifest(self.builder.stored(keys), LIMITS)

    def content(self, item: Item) -> bytes:
        found = b""
        for part in item.parts:
            if part.is_hole:
                found += bytes(part.size)
                continue
            frame = self.packs[part.pack][part.offset : part.offset + part.length]
            found += checked(opened(frame), part)
        return found


def built(tree: Iterable[tuple[Item, bytes]]) -> Built:
    made = Built(TreeBuilder(LIMITS))
    made.feed(tree)
    return made


def file(path: bytes, content: bytes = b"x", mode: int = 0o644) -> tuple[Item, bytes]:
    return Item(path, Kind.FILE, mode, 7, len(content)), content


def directory(path: bytes) -> tuple[Item, bytes]:
    return Item(path, Kind.DIRECTORY, 0o750, 7), b""


def link(path: bytes, target: bytes) -> tuple[Item, bytes]:
    return Item(path, Kind.LINK, 0o777, 7, target=target), b""


def twin(path: bytes, target: bytes) -> tuple[Item, bytes]:
    return Item(path, Kind.TWIN, 0o644, 7, target=target), b""


def test_tree__comes_back() -> None:
    large = os.urandom(2 * FRAME_BYTES + 17)
    sparse = bytes(FRAME_BYTES) + b"end"
    tree = [
        file(b".git/HEAD", b"ref: refs/heads/main\n"),
        directory(b"empty"),
        file(b"large.bin", large),
        twin(b"large.twin", b"large.bin"),
        link(b"link", b"../../etc/shadow"),
        file(b"nothing", b""),
        file(b"run.sh", b"#!/bin/sh\n", 0o755),
        file(b"sparse", sparse),
        file(b"\xff name\n", b"bytes"),
    ]
    made = built(tree)
    manifest = made.manifest()
    found = {item.path: item for item in manifest.items()}
    assert found[b".git"].kind is Kind.DIRECTORY
    assert len(found) == len(tree) + 1
    for item, content in tree:
        kept = found[item.path]
        assert (kept.kind, kept.mode, kept.mtime_ns, kept.target) == (
            item.kind, item.mode, item.mtime_ns, item.target,
        )  # fmt: skip
        assert made.content(kept) == content
    assert found[b"sparse"].parts[0].is_hole


def test_packs__are_let_go_as_they_fill() -> None:
    made = Built(TreeBuilder(LIMITS))
    most = 0
    for number in range(12):
        made.feed([file(b"f%02d" % number, os.urandom(4 * 1024 * 1024))])
        most = max(most, len(made.builder._pack))
    assert most < PACK_BYTES + FRAME_BYTES + 4096
    assert len(made.packs) >= 5
    assert made.manifest().totals.files == 12


def test_small_files__share_frames() -> None:
    tree = [file(b"f%04d" % number, b"content %d" % number) for number in range(3000)]
    made = built(tree)
    items = list(made.manifest().items())
    assert len({(item.parts[0].pack, item.parts[0].offset) for item in items}) == 2
    assert [made.content(item) for item in items] == [content for _, content in tree]
    assert len(made.packs) == 1


@pytest.mark.parametrize(
    ("tree", "rule"),
    [
        ([file(b"../out")], "path"),
        ([file(b"/etc/passwd")], "path"),
        ([file(b"a/../../b")], "path"),
        ([file(b"a/./b")], "path"),
        ([file(b"a//b")], "path"),
        ([file(b"")], "path"),
        ([file(b"a\0b")], "path"),
        ([file(b"n" * 256)], "path"),
        ([file(b"a/" * 33_000 + b"b")], "path"),
        ([file(b"a"), file(b"a")], "duplicate"),
        ([directory(b"a"), link(b"a", b"/etc")], "duplicate"),
        ([file(b"b"), file(b"a")], "order"),
        ([link(b"a", b"/etc"), file(b"a/passwd")], "beneath"),
        ([file(b"a"), file(b"a/b/c")], "beneath"),
        ([twin(b"a", b"b")], "hard_link"),
        ([twin(b"a", b"/etc/passwd")], "hard_link"),
        ([twin(b"b", b"../a")], "hard_link"),
        ([link(b"a", b"")], "link"),
        ([link(b"a", b"t" * 5000)], "link"),
        ([file(b".berth/session.json")], "reserved"),
        ([directory(b".berth")], "reserved"),
    ],
)
def test_refused__by_name_and_rule(tree: Tree, rule: str) -> None:
    with pytest.raises(EntryRefused) as refused:
        built(tree)
    assert refused.value.rule == rule
    assert refused.value.path == tree[-1][0].path


@pytest.mark.parametrize("target", [b"a", b"gone"])
def test_hard_link__to_what_is_no_file(target: bytes) -> None:
    made = built([directory(b"a"), file(b"f"), twin(b"z", target)])
    with pytest.raises(EntryRefused, match="hard_link"):
        made.manifest()


def test_limits__of_entries_and_bytes() -> None:
    with pytest.raises(EntryRefused, match="too_many"):
        Built(TreeBuilder(Limits(max_items=2, max_bytes=100))).feed([file(b"a/b/c")])
    with pytest.raises(EntryRefused, match="too_large"):
        # told before a byte of it is taken
        TreeBuilder(Limits(max_items=9, max_bytes=100)).begin(Item(b"a", Kind.FILE, 0, 0, 101))


def test_manifest__that_would_be_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.manifest.SEGMENT_RAW_BYTES", 1000)
    made = built(file(b"%04d" % number, b"x") for number in range(50))
    with pytest.raises(EntryRefused, match="too_many"):
        made.manifest()


def test_hard_links__are_bounded_with_their_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.building.MOST_TWINS_BYTES", 100)
    with pytest.raises(EntryRefused, match="too_many"):
        built([file(b"f"), *(twin(b"t" * 40 + b"%d" % number, b"f") for number in range(3))])


def test_adopted__stays_where_it_is() -> None:
    before = built([file(b"memory", b"what the agent knows")])
    item = next(before.manifest().items())
    kept = Item(b".berth/session.json", Kind.FILE, item.mode, item.mtime_ns, item.size, item.parts)
    made = Built(TreeBuilder(LIMITS))
    made.builder.adopt(Item(b".berth", Kind.DIRECTORY, 0o700, 1), [])
    made.builder.adopt(kept, [Pack("former", len(before.packs[0]))])
    made.feed([file(b"new", b"content")])
    manifest = made.manifest()
    assert [pack.key for pack in manifest.packs] == ["former", "p1"]
    found = {one.path: one for one in manifest.items()}
    assert found[b".berth/session.json"].parts == item.parts
    assert found[b"new"].parts[0].pack == 1


NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda one: not {0, 0x2F} & set(one) and one not in {b".", b"..", b".berth"}
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map(b"/".join),
        st.binary(max_size=40) | st.just(b"z" * (SMALL_BYTES + 1)),
        max_size=12,
    )
)
def test_any_tree__comes_back(files: dict[bytes, bytes]) -> None:
    paths = sorted(files, key=order)
    plain = [one for one in paths if not any(other.startswith(one + b"/") for other in paths)]
    made = built([file(path, files[path]) for path in plain])
    found = {one.path: one for one in made.manifest().items() if one.kind is Kind.FILE}
    assert {path: made.content(one) for path, one in found.items()} == {
        path: files[path] for path in plain
    }
