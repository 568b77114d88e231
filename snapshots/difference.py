"""How two trees differ, by their manifests alone: both are walked once, side by side."""

import enum
from collections.abc import Iterator

import msgspec

from snapshots.model import Item, Kind
from snapshots.paths import order


class Change(enum.StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    """Its content, its kind, what it links to, or its permissions."""
    REMOVED = "removed"


class Difference(msgspec.Struct, frozen=True):
    change: Change
    path: bytes
    before: Item | None
    after: Item | None


def differences(before: Iterator[Item], after: Iterator[Item]) -> Iterator[Difference]:
    """In the order of paths. Times alone are no change."""
    one, other = next(before, None), next(after, None)
    while one is not None or other is not None:
        if other is None or (one is not None and order(one.path) < order(other.path)):
            assert one is not None  # noqa: S101  # not both are None
            yield Difference(Change.REMOVED, one.path, one, None)
            one = next(before, None)
        elif one is None or order(one.path) > order(other.path):
            yield Difference(Change.ADDED, other.path, None, other)
            other = next(after, None)
        else:
            if not alike(one, other):
                yield Difference(Change.CHANGED, other.path, one, other)
            one, other = next(before, None), next(after, None)


def alike(one: Item, other: Item) -> bool:
    """But for their times."""
    if (one.kind, one.mode, one.target) != (other.kind, other.mode, other.target):
        return False
    return one.kind is not Kind.FILE or one.same_content(other)
