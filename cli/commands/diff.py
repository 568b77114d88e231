"""`berth diff`: what a session's snapshots differ in, as a patch or as names.

The patch is for git: nothing in a `.git`, which git takes from no patch, and nothing of what agents
remember, which is in no other tree. The names are all.
"""

from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from contracts.differences import (
    NOTHING,
    ChangedPath,
    ChangeKind,
    DifferencePage,
    TextDifference,
    TreeKind,
)
from contracts.snapshots import SnapshotPage
from snapshots import paths

MEMORY = paths.MEMORY.decode()
MARKS = {ChangeKind.ADDED: "A", ChangeKind.CHANGED: "M", ChangeKind.REMOVED: "D"}
WHY = {
    "binary": "binary",
    "too_large": "too large to show",
    "too_different": "too different to show",
    "no_content": "no text to compare",
}


async def diff(
    session: Annotated[UUID, Parameter(help="The session's id.")],
    before: Annotated[
        str | None,
        Parameter(name="A", help="A snapshot, or `nothing`; left out: the one before the last."),
    ] = None,
    after: Annotated[UUID | None, Parameter(name="B", help="Left out: the last one.")] = None,
    /,
    *,
    names: Annotated[bool, Parameter(negative=(), help="No text.")] = False,
    json: Annotated[bool, Parameter(negative=(), help="Names, as JSON lines.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Show what the last snapshot changed, or how B differs from A; a patch that git takes."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        base = f"/api/v1/sessions/{session}/snapshots"
        place = f"{base}/{before or await _parent(client, base)}/diff"
        left_out = 0
        async for one in items(client, place, DifferencePage, to=after):
            if json:
                output.json(one)
            elif names:
                output.line(f"{MARKS[one.change]}\t{one.path}")
            elif _is_in_no_patch(one.path):
                left_out += 1
            else:
                await _show_text(client, place, after, one, output)
    if left_out:
        output.note(f"left out: {left_out} in .git or .berth, which --names lists", "yellow")
    return Exit.OK


def _is_in_no_patch(path: str) -> bool:
    parts = path.split("/")
    return ".git" in parts or parts[0] == MEMORY


async def _parent(client: ApiClient, base: str) -> str:
    """Of the head: what the last run began with."""
    async for one in items(client, base, SnapshotPage):
        if one.head:
            return NOTHING if one.parent is None else str(one.parent)
    raise CliError("The session has no snapshot yet: run something in it.", Exit.NOT_FOUND)


async def _show_text(
    client: ApiClient, place: str, after: UUID | None, one: ChangedPath, output: Output
) -> None:
    sides = [side for side in (one.before, one.after) if side is not None]
    if all(side.kind is TreeKind.DIRECTORY for side in sides):
        return
    found = await client.get(
        f"{place}/text",
        TextDifference,
        to=after,
        path=one.path,
        escaped="1" if one.escaped else None,
    )
    if found.text is None:
        output.note(f"{MARKS[one.change]} {one.path}: {WHY.get(found.why, found.why)}")
    else:
        output.exact(found.text)
