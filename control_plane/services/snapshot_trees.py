"""A session's files as its last snapshot has them: found in the manifest, in threads, in the order
in which a walk of the live workspace would tell them.
"""

import time
from collections.abc import Iterator

from chassis.errors import NotFound
from chassis.files.cursors import after, cursor_of
from chassis.files.names import Glob, for_people, shown, wrong
from chassis.files.sensitive import Sensitive
from contracts.errors import Code
from contracts.workspace_files import (
    SEARCH_SECONDS,
    EntryKind,
    FoundFile,
    WorkspaceEntry,
    WorkspaceMatches,
    WorkspaceTree,
)
from control_plane.services.manifests import walked
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind
from snapshots.paths import MEMORY

KINDS = {
    Kind.FILE: EntryKind.FILE,
    Kind.TWIN: EntryKind.FILE,
    Kind.DIRECTORY: EntryKind.DIRECTORY,
    Kind.LINK: EntryKind.LINK,
}


def found(manifest: Manifest, path: bytes) -> Item:
    """A hard link is the file that it is one of. Raises `not_found`, `snapshot_damaged`."""
    item = next(walked(manifest.items_from(path)), None)
    if item is None or item.path != path:
        named = for_people(path)
        raise NotFound(Code.NOT_FOUND, f"there is nothing at {named}", path=named)
    return item


def file_at(manifest: Manifest, path: bytes) -> Item:
    """Raises `not_found`, `validation_failed`, `snapshot_damaged`."""
    item = resolved(manifest, found(manifest, path))
    if item.kind is not Kind.FILE:
        raise wrong("path", "the path of a plain file, no link", path)
    return item


def is_directory(manifest: Manifest, path: bytes) -> bool:
    """Raises `not_found`, `validation_failed` for a link."""
    if not path:
        return True
    item = found(manifest, path)
    if item.kind is Kind.LINK:
        raise wrong("path", "the path of a file or directory, no link", path)
    return item.kind is Kind.DIRECTORY


def beneath(
    manifest: Manifest, path: bytes, *, depth: int | None = None, behind: bytes | None = None
) -> Iterator[Item]:
    """At most `depth` levels, after the path that is `behind`. Raises `snapshot_damaged`."""
    if path and not is_directory(manifest, path):
        raise wrong("path", "the path of a directory, no link", path)
    top = path + b"/" if path else b""
    place: bytes | None = behind or path
    while place is not None:
        items, place = manifest.items_from(place), None
        for item in walked(items):
            if item.path in {path, behind}:
                continue
            if not item.path.startswith(top):
                return
            parts = item.path[len(top) :].split(b"/")
            if depth is not None and len(parts) > depth:
                place = _past(top + b"/".join(parts[:depth]))
                break
            yield item


def _past(directory: bytes) -> bytes:
    """Where what is in it has ended, in the order of paths."""
    return b"\0" if directory == MEMORY else directory + b"\0"


def listed(
    manifest: Manifest,
    path: bytes,
    *,
    depth: int,
    limit: int,
    cursor: str | None,
    withheld: Sensitive,
) -> WorkspaceTree:
    scope = f"tree {path!r} {depth}"
    items: list[WorkspaceEntry] = []
    last = b""
    for item in beneath(manifest, path, depth=depth, behind=after(scope, cursor)):
        if len(items) == limit:
            return WorkspaceTree(items=items, next_cursor=cursor_of(scope, last))
        items.append(entry_of(manifest, item, withheld))
        last = item.path
    return WorkspaceTree(items=items)


def searched(
    manifest: Manifest,
    path: bytes,
    name: Glob,
    *,
    scope: str,
    limit: int,
    cursor: str | None,
    withheld: Sensitive,
) -> WorkspaceMatches:
    """A page ends with its time, as that of a live search does."""
    top = len(path) + 1 if path else 0
    items: list[FoundFile] = []
    until = time.monotonic() + SEARCH_SECONDS
    for item in beneath(manifest, path, behind=after(scope, cursor)):
        if name.matches(item.path[top:]):
            items.append(FoundFile(entry=entry_of(manifest, item, withheld)))
        if len(items) == limit or time.monotonic() >= until:
            return WorkspaceMatches(items=items, next_cursor=cursor_of(scope, item.path))
    return WorkspaceMatches(items=items)


def entry_of(manifest: Manifest, item: Item, withheld: Sensitive) -> WorkspaceEntry:
    content = resolved(manifest, item)
    kind = KINDS[item.kind]
    named = shown(item.path)
    return WorkspaceEntry(
        path=named.text,
        name=named.text.rpartition("/")[2],
        escaped=named.escaped,
        kind=kind,
        size=content.size,
        mode=item.mode,
        mtime=item.mtime_ns / 1_000_000_000,
        etag=etag_of(content) if kind is EntryKind.FILE else "",
        target=for_people(item.target) if item.kind is Kind.LINK else "",
        withheld=withheld.covers(item.path),
    )


def etag_of(item: Item) -> str:
    return f'"s-{item.digest.hex()[:32]}"'


def resolved(manifest: Manifest, item: Item) -> Item:
    if item.kind is not Kind.TWIN:
        return item
    first = found(manifest, item.target)
    if first.kind is not Kind.FILE:
        raise NotFound(Code.NOT_FOUND, f"{for_people(item.path)} is a hard link of nothing")
    return first
