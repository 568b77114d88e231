"""`berth snapshots`: what a session's workspace was."""

from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.output import Output
from contracts.snapshots import Snapshot, SnapshotPage

snapshots = App(name="snapshots", help="A session's snapshots: ls.")


@snapshots.command
async def ls(
    session: Annotated[UUID, Parameter(help="The session's id.")],
    /,
    *,
    limit: Annotated[int, Parameter(help="At most so many, 1 to 200.")] = 20,
    json: Annotated[bool, Parameter(negative=(), help="Each one as a JSON line.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List them, the newest first: when, of which run, how large, what it changed."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        page = await client.get(f"/api/v1/sessions/{session}/snapshots", SnapshotPage, limit=limit)
    columns = ["snapshot", "created", "run", "type", "files", "size", "changes"]
    output.listing(page.items, columns, _row, json=json)
    return Exit.OK


def _row(one: Snapshot) -> list[str]:
    return [
        str(one.id),
        f"{one.created_at:%F %T}",
        str(one.run_id or ""),
        f"{one.type.value}{' (head)' if one.head else ''}",
        str(one.files),
        _size(one.bytes),
        f"+{one.added} ~{one.changed} -{one.removed}",
    ]


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
