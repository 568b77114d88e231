"""`berth pull`: what a session made of its workspace, here: as a patch, or as a tree."""

import asyncio
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from cli.trees.landing import Landed, land
from cli.trees.patches import Patching
from cli.trees.receiving import Received, received
from contracts.differences import NOTHING
from contracts.sessions import Session
from contracts.snapshots import Snapshot, SnapshotKind, SnapshotPage
from contracts.trees import Side

STANDARD = "-"
LISTED = 20


async def pull(
    session: Annotated[UUID, Parameter(help="The session's id.")],
    /,
    *,
    patch: Annotated[
        bool, Parameter(negative=(), help="What changed, for `git apply`. Without --tree: this.")
    ] = False,
    tree: Annotated[
        str | None,
        Parameter(help="All files, into this directory; what is only there stays as it is."),
    ] = None,
    output_file: Annotated[
        str,
        Parameter(
            name=["--output", "-o"], allow_leading_hyphen=True, help="Of the patch; - prints it."
        ),
    ] = STANDARD,
    since: Annotated[
        str | None,
        Parameter(
            help="The patch's base: one of `berth snapshots ls`, or `nothing`. Left out: what the"
            " session began with."
        ),
    ] = None,
    snapshot: Annotated[
        UUID | None, Parameter(help="As this one has it; left out: the last one.")
    ] = None,
    force: Annotated[
        bool, Parameter(negative=(), help="With --tree: replace also what is in no commit.")
    ] = False,
    with_git: Annotated[
        bool,
        Parameter(negative=(), help="With --tree: .git too, which the agent could write to."),
    ] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Fetch a session's changes as a patch for `git apply`, or its files into a directory."""
    output = Output()
    if patch and tree is not None:
        raise CliError("Take --patch or --tree, not both.", Exit.USAGE)
    async with ApiClient(find_place(url, key)) as client:
        if tree is not None:
            query = {} if snapshot is None else {"snapshot_id": str(snapshot)}
            async with received(client, session, query, output) as found:
                landed = await _landed(found, Path(tree), force=force, with_git=with_git)
                _tell(output, landed.left_out, found)
            same = f", {landed.kept} were there already" if landed.kept else ""
            output.note(f"{landed.files} files of snapshot {found.snapshot} in {tree}{same}")
            return Exit.OK
        query = {"since": since or await _beginning(client, session)}
        if snapshot is not None:
            query["snapshot_id"] = str(snapshot)
        return await _patch(client, session, query, output_file, output)


async def _landed(found: Received, directory: Path, *, force: bool, with_git: bool) -> Landed:
    try:
        return await asyncio.to_thread(land, found, directory, force=force, with_git=with_git)
    except OSError as error:
        raise CliError(f"{directory}: {error.strerror}.", Exit.USAGE) from error


async def _patch(
    client: ApiClient,
    session: UUID,
    query: dict[str, str],
    to: str,
    output: Output,
) -> Exit:
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(
            received(client, session, {**query, "side": Side.BEFORE.value}, output)
        )
        # of one moment, whatever is saved meanwhile
        query["snapshot_id"] = before.snapshot
        after = await stack.enter_async_context(received(client, session, query, output))
        patching = Patching(before, after)
        await asyncio.to_thread(_write, patching.pieces(), to)
        _tell(output, patching.left_out, after)
    output.note(f"{patching.files} files changed from {query['since']} to {after.snapshot}")
    return Exit.OK


async def _beginning(client: ApiClient, session_id: UUID) -> str:
    """The first snapshot of what was sent or cloned; else nothing: all of it is the session's."""
    session = await client.get(f"/api/v1/sessions/{session_id}", Session)
    first: Snapshot | None = None
    async for one in items(client, f"/api/v1/sessions/{session_id}/snapshots", SnapshotPage):
        # the newest come first
        if one.type is SnapshotKind.ACKNOWLEDGED:
            first = one
    if first is None:
        raise CliError("The session has saved nothing yet.", Exit.NOT_FOUND)
    began_with_files = first.run_id is None or session.workspace.git is not None
    return str(first.id) if began_with_files else NOTHING


def _write(pieces: Iterable[bytes], to: str) -> None:
    if to == STANDARD:
        _pour(pieces, sys.stdout.buffer)
        return
    try:
        with Path(to).open("xb") as file:
            _pour(pieces, file)
    except FileExistsError as error:
        raise CliError(f"{to} is there already: name another file.", Exit.USAGE) from error
    except OSError as error:
        raise CliError(f"{to}: {error.strerror}.", Exit.USAGE) from error


def _pour(pieces: Iterable[bytes], file: IO[bytes]) -> None:
    for piece in pieces:
        file.write(piece)
    file.flush()


def _tell(output: Output, left_out: list[tuple[bytes, str]], found: Received) -> None:
    for path, why in left_out[:LISTED]:
        output.note(f"left out: {path.decode(errors='backslashreplace')}: {why}", "yellow")
    if len(left_out) > LISTED:
        output.note(f"left out: {len(left_out) - LISTED} more", "yellow")
    if found.withheld:
        output.note(
            f"left out: {found.withheld} of names that are for owners of the project", "yellow"
        )
