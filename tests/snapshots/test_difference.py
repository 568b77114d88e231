"""Two manifests, side by side."""

import msgspec

from snapshots.difference import Change, differences
from snapshots.model import Item, Kind, Part


def file(path: bytes, content: bytes = b"1", **changes: object) -> Item:
    parts = (Part(1, content * 32, 0, 0, 1),)
    made = Item(path, Kind.FILE, 0o644, 1, size=1, parts=parts)
    return msgspec.structs.replace(made, **changes)


BEFORE = [
    file(b"changed"),
    Item(b"d", Kind.DIRECTORY, 0o755, 1),
    file(b"d/gone"),
    file(b"e"),
    file(b"same"),
]
AFTER = [
    file(b"changed", b"2"),
    Item(b"d", Kind.DIRECTORY, 0o755, 9),
    file(b"e", mode=0o755),
    file(b"new"),
    file(b"same", mtime_ns=77),
]


def test_changes__by_kind_and_path() -> None:
    found = [(one.change, one.path) for one in differences(iter(BEFORE), iter(AFTER))]
    assert found == [
        (Change.CHANGED, b"changed"),
        (Change.REMOVED, b"d/gone"),
        (Change.CHANGED, b"e"),
        (Change.ADDED, b"new"),
    ]


def test_from_nothing_and_to_nothing() -> None:
    assert {one.change for one in differences(iter([]), iter(AFTER))} == {Change.ADDED}
    assert {one.change for one in differences(iter(BEFORE), iter([]))} == {Change.REMOVED}
    assert not list(differences(iter(AFTER), iter(AFTER)))
