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
from cli.transfers import LONG, fetch_file, quoted, send_file, send_tree
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
    source: Annotated[Path, Parameter(help="Here: a file, or a directory with all in it.")],
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
    """Write a file, or a tree: all of it or nothing. Sessions get it with their next worker."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        client.http.timeout = LONG
        place = await _place(client, project)
        there = source.resolve().name if path is None else path
        if source.is_dir():
            if new or etag:
                raise CliError("--new and --etag are of a file, not of a directory.", Exit.USAGE)
            done = await send_tree(client, f"{place}/upload", source, there)
            output.answer(done, f"Wrote {done.files} files to {there}.", json=json)
            return Exit.OK
        conditions = {"If-None-Match": "*"} if new else {}
        conditions |= {"If-Match": f'"{etag}"'} if etag else {}
        written = await _put_file(client, place, source, there, conditions)
    what = "Made" if written.created else "Replaced"
    words = f"{what} {written.entry.path}: {written.entry.size} bytes"
    output.answer(written, words, json=json)
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


async def _put_file(
    client: ApiClient, place: str, source: Path, path: str, conditions: dict[str, str]
) -> WrittenFile:
    try:
        with source.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            executable = int(os.access(source, os.X_OK))
            there = f"{place}/file?path={quoted(path)}&executable={executable}"
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            return await send_file(
                client,
                "PUT",
                there,
                WrittenFile,
                file=opened,
                headers={**headers, **conditions},
                what=source.name,
            )
    except OSError as error:
        raise CliError(f"{source}: {error.strerror}", Exit.USAGE) from error


async def _place(client: ApiClient, project: UUID | None) -> str:
    return f"/api/v1/projects/{await project_of(client, project)}/files"


def _text(path: str) -> str:
    """A project has no names but UTF-8: another one is nothing that it has."""
    return path.encode(errors="backslashreplace").decode()
