"""`berth projects`: a project's own files, which its sessions have read-only."""

import os
from pathlib import Path
from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.matches import print_matches
from cli.output import Output
from cli.pages import items
from cli.projects import AskedProject, project_of
from cli.transfers import fetch_file, quoted, send_file
from contracts.workspace_files import (
    DeletedPath,
    EntryKind,
    WorkspaceTree,
    WrittenFile,
)

projects = App(
    name="projects",
    help="A project's own files, read-only in its sessions: files ls, get, put, rm, search.",
)
files = App(name="files", help="Files that the project's sessions have read-only.")
projects.command(files)

FilePath = Annotated[str, Parameter(help="In the project's files, such as docs/guide.md.")]


@files.command
async def ls(
    path: FilePath = "",
    /,
    *,
    depth: Annotated[int, Parameter(help="Levels of directories, at most 64.")] = 1,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List a directory; without a path, the top."""
    output = Output()
    rows: list[list[str]] = []
    async with ApiClient(find_place(url, key)) as client:
        place = f"{await _place(client, project)}/tree"
        async for item in items(client, place, WorkspaceTree, path=_text(path), depth=depth):
            if json:
                output.json(item)
            mark = "/" if item.kind is EntryKind.DIRECTORY else ""
            rows.append([item.path + mark, "" if mark else str(item.size), item.etag[1:13]])
    if not json:
        output.table(["path", "bytes", "sha256"], rows)
    return Exit.OK


@files.command
async def get(
    path: FilePath,
    /,
    to: Annotated[Path | None, Parameter(help="Else a file of its own name, here.")] = None,
    *,
    project: AskedProject = None,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Fetch a file. What stands at its place is replaced once all of it is there."""
    target = to or Path(path.rpartition("/")[2])
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        size = await fetch_file(client, f"{place}/file?path={quoted(path)}", target)
    Output().line(f"{target}: {size} bytes")
    return Exit.OK


@files.command
async def put(
    file: Annotated[Path, Parameter(help="Here.")],
    path: Annotated[str | None, Parameter(help="There; else its own name, at the top.")] = None,
    /,
    *,
    new: Annotated[
        bool, Parameter(negative=(), help="Refused where there is such a file.")
    ] = False,
    etag: Annotated[
        str | None, Parameter(help="Refused unless the file there still has this SHA-256.")
    ] = None,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make or replace a file. Sessions get it with their next worker."""
    try:
        executable = os.access(file, os.X_OK)
        size = file.stat().st_size
    except OSError as error:
        raise CliError(f"{file}: {error.strerror}", Exit.USAGE) from error
    if not file.is_file():
        raise CliError(f"{file}: expected a file.", Exit.USAGE)
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    headers |= {"If-None-Match": "*"} if new else {}
    headers |= {"If-Match": f'"{etag}"'} if etag else {}
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        there = f"{place}/file?path={quoted(path or file.name)}&executable={int(executable)}"
        with file.open("rb") as opened:
            written = await send_file(
                client, "PUT", there, WrittenFile, file=opened, headers=headers, what=file.name
            )
    what = "Made" if written.created else "Replaced"
    words = f"{what} {written.entry.path}: {written.entry.size} bytes"
    Output().answer(written, words, json=json)
    return Exit.OK


@files.command
async def rm(
    path: FilePath, /, *, project: AskedProject = None, url: Url = None, key: Key = None
) -> Exit:
    """Remove a file, or a directory with all that is in it."""
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        removed = await client.delete(f"{place}/file?path={quoted(path)}", DeletedPath)
    Output().line(f"Removed {removed.path}.")
    return Exit.OK


@files.command
async def search(
    path: FilePath = "",
    /,
    *,
    name: Annotated[str, Parameter(help="Words in its name, in upper or lower case.")] = "",
    text: Annotated[str, Parameter(help="In the file, as it stands.")] = "",
    ignore_case: Annotated[bool, Parameter(name=["--ignore-case", "-i"], negative=())] = False,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Find files by name and by what is in them."""
    async with ApiClient(find_place(url, key)) as client:
        await print_matches(
            client,
            f"{await _place(client, project)}/search",
            json=json,
            path=_text(path),
            name=_text(name) or None,
            text=_text(text) or None,
            ignore_case=int(ignore_case),
        )
    return Exit.OK


async def _place(client: ApiClient, project: UUID | None) -> str:
    return f"/api/v1/projects/{await project_of(client, project)}/files"


def _text(path: str) -> str:
    """A project has no names but UTF-8: another one is nothing that it has."""
    return path.encode(errors="backslashreplace").decode()
