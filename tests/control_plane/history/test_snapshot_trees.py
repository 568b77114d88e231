"""A manifest's tree told as a walk of the live workspace would be."""

import random
from itertools import pairwise

import pytest
from blake3 import blake3

from chassis.errors import BerthError, NotFound
from chassis.files.names import Glob, bytes_of
from chassis.files.sensitive import NOTHING
from contracts.errors import Code
from control_plane.services import snapshot_trees as trees
from control_plane.services.manifests import LIMITS
from snapshots.manifest import Manifest, ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from snapshots.paths import order

NAMES = [
    b"a",
    b"a b",
    b"b",
    b"\x01",
    b"-x",
    b".a",
    b".berth",
    b".c",
    b"!x",
    b"z",
    b"\xff\xfe",
    b"~",
]
PART = Part(3, blake3(b"one").digest(), 0, 0, 10)


def manifest_of(*items: Item) -> Manifest:
    writer = ManifestWriter()
    for item in sorted(items, key=lambda one: order(one.path)):
        writer.add(item)
    return Manifest(writer.finish([Pack("key", 10)], []), LIMITS)


def directory(path: bytes) -> Item:
    return Item(path, Kind.DIRECTORY, 0o755, 1)


def file(path: bytes) -> Item:
    return Item(path, Kind.FILE, 0o644, 1, 3, (PART,))


def any_tree(dice: random.Random) -> list[Item]:
    found: dict[bytes, Item] = {}
    for _ in range(400):
        above = dice.choice([b"", *(path for path, one in found.items() if _is_open(one))])
        path = above + b"/" + dice.choice(NAMES) if above else dice.choice(NAMES)
        if path not in found and path.count(b"/") < 5:
            found[path] = (directory if dice.random() < 0.5 else file)(path)
    return list(found.values())


def _is_open(item: Item) -> bool:
    return item.kind is Kind.DIRECTORY


def pages(manifest: Manifest, path: bytes, depth: int, limit: int) -> list[bytes]:
    found: list[bytes] = []
    cursor: str | None = None
    while True:
        page = trees.listed(
            manifest, path, depth=depth, limit=limit, cursor=cursor, withheld=NOTHING
        )
        found += [bytes_of(one.path, escaped=one.escaped) for one in page.items]
        if (cursor := page.next_cursor) is None:
            return found


@pytest.mark.parametrize("seed", range(10))
def test_listed__is_what_is_beneath_whatever_the_names(seed: int) -> None:
    dice = random.Random(seed)
    items = any_tree(dice)
    manifest = manifest_of(*items)
    tops = [b"", *(one.path for one in items if _is_open(one))]
    for path in dice.sample(tops, min(len(tops), 8)):
        top = path + b"/" if path else b""
        for depth, limit in ((1, 200), (1, 2), (2, 3), (64, 7)):
            expected = [
                one.path
                for one in items
                if one.path.startswith(top)
                and one.path != path
                and one.path[len(top) :].count(b"/") < depth
            ]
            assert pages(manifest, path, depth, limit) == sorted(expected, key=order)


def test_listed__of_a_large_directory_reads_no_more_than_it_tells() -> None:
    """What lies beneath another directory is jumped over."""
    inner = [file(b"a/%06d" % number) for number in range(30_000)]
    manifest = manifest_of(directory(b"a"), *inner, file(b"b"))
    read: list[int] = []
    one_segment = manifest._segment
    manifest._segment = lambda number: read.append(number) or one_segment(number)
    assert pages(manifest, b"", 1, 200) == [b"a", b"b"]
    assert len(read) <= 3


def test_twin__is_the_file_that_it_is_one_of() -> None:
    twin = Item(b"b", Kind.TWIN, 0o644, 1, target=b"a")
    manifest = manifest_of(file(b"a"), twin)
    assert trees.file_at(manifest, b"b").parts == (PART,)
    first, second = trees.listed(
        manifest, b"", depth=1, limit=9, cursor=None, withheld=NOTHING
    ).items
    assert (second.kind, second.size, second.etag) == (first.kind, 3, first.etag)


def test_found__what_is_none_or_no_file() -> None:
    link = Item(b"l", Kind.LINK, 0o777, 1, target=b"d")
    manifest = manifest_of(directory(b"d"), link)
    for path in (b"d", b"l"):
        with pytest.raises(BerthError) as refused:
            trees.file_at(manifest, path)
        assert refused.value.code == Code.VALIDATION
    for path in (b"nothing", b"l/x", b"d/x", b"c"):
        with pytest.raises(NotFound):
            trees.file_at(manifest, path)
    with pytest.raises(BerthError):
        list(trees.beneath(manifest, b"l"))


def test_searched__pages_beneath_a_path() -> None:
    items = [directory(b"d"), *(file(b"d/%d.py" % number) for number in range(9)), file(b"x.py")]
    manifest = manifest_of(*items)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = trees.searched(
            manifest, b"d", Glob("*.py"), scope="s", limit=2, cursor=cursor, withheld=NOTHING
        )
        found += [one.entry.name for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert len(found) == 9
    assert all(a < b for a, b in pairwise(found))


def test_searched__page_ends_with_its_time_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "SEARCH_SECONDS", 0.0)
    items = [directory(b"d"), *(file(b"d/%d.md" % number) for number in range(3)), file(b"x.py")]
    manifest = manifest_of(*items)
    found: list[str] = []
    cursor: str | None = None
    for _ in range(len(items) + 1):
        page = trees.searched(
            manifest, b"", Glob("*.py"), scope="s", limit=2, cursor=cursor, withheld=NOTHING
        )
        found += [one.entry.path for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
        assert len(page.items) < 2
    assert (found, cursor) == (["x.py"], None)
