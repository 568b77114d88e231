"""Paths in a tree: bytes, relative, `/` between their parts; and the order in which they stand."""

from snapshots.errors import BadPath

NAME_BYTES = 255
PATH_BYTES = 64 * 1024
"""Deeper trees than PATH_MAX exist; this bounds what a manifest can make us do."""
MEMORY = b".berth"
"""What we and the agents remember there. It stands before all else, and in it `REMEMBERED`: read in
this order beside a working agent, no file is older than the memory of it (ADR 0012).
"""
REMEMBERED = b"session.json"


def parts_of(path: bytes) -> list[bytes]:
    """Raises `BadPath` for what is no plain relative path."""
    parts = path.split(b"/")
    for part in parts:
        if part in {b"", b".", b".."} or b"\0" in part or len(part) > NAME_BYTES:
            raise BadPath(path)
    if len(path) > PATH_BYTES:
        raise BadPath(path)
    return parts


def order(path: bytes) -> list[bytes]:
    """Its key: directories before what is in them, siblings by their bytes, but for `MEMORY`."""
    parts = path.split(b"/")
    if parts[0] == MEMORY:
        parts[0] = b""
        if len(parts) > 1 and parts[1] == REMEMBERED:
            parts[1] = b""
    return parts
