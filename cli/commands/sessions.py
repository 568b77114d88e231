"""`berth sessions`: what is done to a whole session."""

from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter

from cli import archives
from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.output import Output
from cli.projects import AskedProject, project_of
from cli.trees.sending import measured, send_tree
from contracts.branches import ForkSession, RollBack
from contracts.sessions import Session

sessions = App(name="sessions", help="Whole sessions: fork, rollback, export, import, import-tree.")

SessionId = Annotated[UUID, Parameter(help="The session's id.")]
AskedSnapshot = Annotated[
    UUID | None, Parameter(help="One of `berth snapshots ls`; left out: the last one.")
]


@sessions.command
async def fork(
    session: SessionId,
    /,
    *,
    snapshot: AskedSnapshot = None,
    title: Annotated[str | None, Parameter(help="Left out: as the session's.")] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make a session that goes on from this one's files and conversation at a snapshot."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        made = await client.post(
            f"/api/v1/sessions/{session}/fork",
            Session,
            ForkSession(snapshot_id=snapshot, title=title),
        )
    if json:
        output.json(made)
    else:
        output.line(f"{made.id}")
        output.note(f'Go on in it with `berth run --session {made.id} "…"`.')
    return Exit.OK


@sessions.command
async def rollback(
    session: SessionId,
    snapshot: Annotated[UUID, Parameter(help="One of `berth snapshots ls`.")],
    /,
    *,
    expected_head: Annotated[
        UUID | None, Parameter(help="Only if this is still the last snapshot.")
    ] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Go back to a snapshot, files and conversation. Its worker saves and stops first; what came
    after it stays listed, and can be gone back to as well.
    """
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        now = await client.post(
            f"/api/v1/sessions/{session}/rollback",
            Session,
            RollBack(snapshot_id=snapshot, expected_head=expected_head),
        )
    output.answer(now, f"The next message goes on from {snapshot}.", json=json)
    return Exit.OK


@sessions.command
async def export(
    session: SessionId,
    /,
    *,
    output_file: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"],
            allow_leading_hyphen=True,
            help="- is standard output. Left out: session-ID.tar.",
        ),
    ] = None,
    snapshot: AskedSnapshot = None,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Write a session's files, agent's state and conversation into one archive. It may run."""
    output = Output()
    to = output_file or f"session-{session}.tar"
    async with ApiClient(find_place(url, key)) as client:
        size = await archives.fetch(client, session, snapshot, to)
    output.note(f"{size} bytes in {'standard output' if to == archives.STANDARD else to}")
    return Exit.OK


@sessions.command(name="import")
async def import_(
    archive: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="A file; - is standard input.")
    ],
    /,
    *,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make a session of an archive. All of it is proven first."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        made = await archives.send(client, await project_of(client, project), archive)
    output.answer(made, f"{made.id}", json=json)
    return Exit.OK


@sessions.command(name="import-tree")
async def import_tree(
    session: SessionId,
    directory: Annotated[str, Parameter(help="A directory of this machine.")],
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Replace a session's workspace with a directory. What was there stays listed, and can be
    rolled back to; no run may wait or work, and no worker be there.
    """
    output = Output()
    place = await measured(directory)
    async with ApiClient(find_place(url, key)) as client:
        made = await send_tree(client, session, place, output)
    output.answer(made, f"{made.snapshot_id}", json=json)
    return Exit.OK
