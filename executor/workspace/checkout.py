"""Where a repository is cloned to, and how it becomes the workspace: the blocking half.

    .berth/checkout.new     being cloned; whatever is in it after a crash is thrown away
    .berth/checkout         cloned and whole: its entries are moved to the top, one by one
    .berth/checkout.json    what was placed: nothing is done any more

Each step is one rename, so that whoever begins anew knows how far it came.
"""

import os
from pathlib import Path

import msgspec

from executor.workspace.beneath import (
    DIRECTORY,
    exists,
    make_directory,
    opened_directory,
    opened_parent,
    read_ours,
    remove,
    write_file,
)
from executor.workspace.errors import UnsafePath
from snapshots.paths import MEMORY

NEW, WHOLE, RECORD = b".berth/checkout.new", b".berth/checkout", b".berth/checkout.json"
RECORD_BYTES = 16 * 1024


class PlaceTaken(Exception):
    """`names` stand at the top of the workspace, and in the repository too."""

    def __init__(self, names: list[bytes]) -> None:
        super().__init__(names)
        self.names = names


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    ref: str = ""
    commit: str = ""


def placed(root: Path) -> Placed | None:
    """None also for what is no record of ours."""
    try:
        with opened_directory(root) as top:
            content = read_ours(top, RECORD, limit=RECORD_BYTES)
        return None if content is None else msgspec.json.decode(content, type=Placed)
    except (UnsafePath, msgspec.MsgspecError):
        return None


def is_whole(root: Path) -> bool:
    with opened_directory(root) as top:
        return exists(top, WHOLE)


def clear(root: Path) -> None:
    """What is half cloned goes."""
    with opened_directory(root) as top:
        make_directory(top, MEMORY, replace=True)
        with opened_parent(top, NEW, ours=True) as (parent, name):
            remove(parent, name)


def seal(root: Path) -> None:
    with (
        opened_directory(root) as top,
        opened_parent(top, NEW, ours=True) as (parent, name),
    ):
        os.rename(name, WHOLE.rpartition(b"/")[2], src_dir_fd=parent, dst_dir_fd=parent)


def place(root: Path, record: Placed) -> None:
    """Raises `PlaceTaken`, with nothing moved that was not moved before."""
    with (
        opened_directory(root) as top,
        opened_parent(top, WHOLE, ours=True) as (parent, name),
    ):
        source = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            names = sorted(os.fsencode(one) for one in os.listdir(source))  # noqa: PTH208  # of a handle
            taken = [one for one in names if one == MEMORY or exists(top, one)]
            if taken:
                raise PlaceTaken(taken)
            for one in names:
                os.rename(one, one, src_dir_fd=source, dst_dir_fd=top)
        finally:
            os.close(source)
        write_file(top, RECORD, msgspec.json.encode(record))
        remove(parent, name)


def abandon(root: Path) -> None:
    """What was cloned and cannot be placed."""
    with (
        opened_directory(root) as top,
        opened_parent(top, WHOLE, ours=True) as (parent, name),
    ):
        remove(parent, name)
