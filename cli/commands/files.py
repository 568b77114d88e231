"""`berth files`: what is in a session's workspace, as it is now; without a worker its last
snapshot.
"""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import httpx
from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.matches import MARKS, print_matches
from cli.output import Output, printable
from cli.pages import items
from cli.transfers import fetch_file, quoted, received
from cli.workspace_files import escaped, name_here, named, place_of, put_file, put_tree
from contracts.workspace_files import (
    DeletedPath,
    EntryKind,
    MakeDirectory,
    RenamePath,
    WorkspaceEntry,
    WorkspaceTree,
)

files = App(
    name="files",
    help="A session's workspace: ls, cat, get, put, rm, mv, mkdir, search.",
)

SECONDS = httpx.Timeout(connect=5.0, read=120.0, write=120.0, pool=5.0)

There = Annotated[str, Parameter(help="In the workspace, such as src/main.py.")]
Json = Annotated[bool, Parameter(negative=())]


@files.command
async def ls(
    session: UUID,
    path: There = "",
    /,
    *,
    depth: Annotated[int, Parameter(help="Levels of directories, at most 64.")] = 1,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List a directory; without a path, the workspace."""
    output = Output()
    rows: list[list[str]] = []
    async with _client(url, key) as client:
        place = place_of(session, "tree")
        async for item in items(client, place, WorkspaceTree, **named(path), depth=depth):
            if json:
                output.json(item)
            rows.append(_row(item))
    if not json:
        output.table(["mode", "bytes", "path"], rows)
    return Exit.OK


@files.command
async def cat(session: UUID, path: There, /, *, url: Url = None, key: Key = None) -> Exit:
    """Print a file. On a terminal, what would steer it is left out."""
    place = place_of(session, "file")
    async with _client(url, key) as client:
        if not sys.stdout.isatty():
            await received(client, f"{place}?path={quoted(path)}", sys.stdout.buffer, None)
            return Exit.OK
        sys.stdout.write(printable(await client.text(place, **named(path))))
    return Exit.OK


@files.command
async def get(
    session: UUID,
    path: There,
    to: Annotated[Path | None, Parameter(help="Here; else its own name.")] = None,
    /,
    *,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Fetch a file, or a directory as a zip archive; `.` is the whole workspace."""
    async with _client(url, key) as client:
        inner = "" if path == "." else path.rstrip("/")
        target = to or Path(await name_here(client, session, inner))
        place = f"{place_of(session, 'download')}?path={quoted(inner)}"
        size = await fetch_file(client, place, target)
    Output().line(f"{target}: {size} bytes")
    return Exit.OK


@files.command
async def put(
    session: UUID,
    source: Annotated[Path, Parameter(help="Here: a file, or a directory with all in it.")],
    path: Annotated[str | None, Parameter(help="There; else its own name, at the top.")] = None,
    /,
    *,
    new: Annotated[
        bool, Parameter(negative=(), help="Refused where there is such a file.")
    ] = False,
    etag: Annotated[
        str | None, Parameter(help="Refused unless the file there is still this one.")
    ] = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Write a file, which is replaced in one step; or a tree, all of it or nothing."""
    place = source.resolve().name if path is None else path
    output = Output()
    async with _client(url, key) as client:
        if source.is_dir():
            done = await put_tree(client, session, source, place)
            output.answer(done, f"Wrote {done.files} files to {place}.", json=json)
            return Exit.OK
        conditions = {"If-None-Match": "*"} if new else {}
        conditions |= {"If-Match": etag} if etag else {}
        written = await put_file(client, session, source, place, conditions)
    what = "Made" if written.created else "Replaced"
    output.answer(written, f"{what} {place}: {written.entry.size} bytes", json=json)
    return Exit.OK


@files.command
async def rm(
    session: UUID,
    path: There,
    /,
    *,
    recursive: Annotated[
        bool, Parameter(name=["--recursive", "-r"], negative=(), help="Directories too.")
    ] = False,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Delete a file, a link or a directory."""
    place = f"{place_of(session, 'file')}?path={quoted(path)}&recursive={int(recursive)}"
    async with _client(url, key) as client:
        gone = await client.delete(place, DeletedPath)
    Output().answer(gone, f"Deleted {gone.path}.", json=json)
    return Exit.OK


@files.command
async def mv(
    session: UUID,
    path: There,
    to: There,
    /,
    *,
    overwrite: Annotated[bool, Parameter(negative=(), help="A file may be replaced.")] = False,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Move a file or directory, or give it another name."""
    asked = RenamePath(from_=escaped(path), to=escaped(to), escaped=True, overwrite=overwrite)
    async with _client(url, key) as client:
        moved = await client.post(place_of(session, "rename"), WorkspaceEntry, asked)
    Output().answer(moved, f"Moved to {moved.path}.", json=json)
    return Exit.OK


@files.command
async def mkdir(
    session: UUID,
    path: There,
    /,
    *,
    parents: Annotated[
        bool, Parameter(name=["--parents", "-p"], negative=(), help="Those above it too.")
    ] = False,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make a directory."""
    asked = MakeDirectory(path=escaped(path), escaped=True, parents=parents)
    async with _client(url, key) as client:
        made = await client.post(place_of(session, "mkdir"), WorkspaceEntry, asked)
    Output().answer(made, f"Made {made.path}.", json=json)
    return Exit.OK


@files.command
async def search(
    session: UUID,
    path: There = "",
    /,
    *,
    name: Annotated[str, Parameter(help="A pattern, such as *.py or src/*.py.")] = "",
    text: Annotated[str, Parameter(help="In the file, as it stands; needs a worker.")] = "",
    ignore_case: Annotated[bool, Parameter(name=["--ignore-case", "-i"], negative=())] = False,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Find files by name and by what is in them."""
    async with _client(url, key) as client:
        await print_matches(
            client,
            place_of(session, "search"),
            json=json,
            **named(path),
            name=name or None,
            text=text or None,
            ignore_case=int(ignore_case),
        )
    return Exit.OK


def _client(url: str | None, key: str | None) -> ApiClient:
    client = ApiClient(find_place(url, key))
    client.http.timeout = SECONDS
    return client


def _row(item: WorkspaceEntry) -> list[str]:
    size = str(item.size) if item.kind is EntryKind.FILE else "-"
    return [f"{item.mode:04o}", size, item.path + MARKS[item.kind]]
