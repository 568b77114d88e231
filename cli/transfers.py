"""Contents to and from the API, piece by piece; a meter tells how far they are."""

import asyncio
import os
import tarfile
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeVar
from urllib.parse import quote_from_bytes

import httpx

from cli.client import ApiClient, Refused, Unreachable, decoded, problem_of
from cli.exits import CliError, Exit
from cli.output import Output
from cli.progress import Meter, metered
from contracts.trees import BYTES_HEADER, FILES_HEADER
from contracts.workspace_files import UploadedFiles

T = TypeVar("T")

PIECE_BYTES = 256 * 1024
LONG = httpx.Timeout(connect=5.0, read=600.0, write=120.0, pool=5.0)
"""For what is answered only once all of it is proven."""


async def received(
    client: ApiClient,
    path: str,
    file: IO[bytes],
    meter: Meter | None,
    *,
    query: Mapping[str, str] | None = None,
    within: httpx.Timeout | None = None,
    cut: str = "",
) -> httpx.Headers:
    """The answer's. `cut`: what to say where it ends before its end."""
    try:
        async with client.http.stream(
            "GET", path, params=query, timeout=within or client.http.timeout
        ) as response:
            if not response.is_success:
                await response.aread()
                raise Refused(problem_of(response))
            if meter is not None:
                _expect(meter, response.headers)
            async for piece in response.aiter_bytes():
                await asyncio.to_thread(file.write, piece)
                if meter is not None:
                    meter.went(len(piece))
    except httpx.TransportError as error:
        if cut and isinstance(error, httpx.RemoteProtocolError):
            raise CliError(cut, Exit.REFUSED) from error
        raise Unreachable(client.url, error) from error
    await asyncio.to_thread(file.flush)
    return response.headers


async def sent(
    client: ApiClient,
    method: str,
    path: str,
    answer: type[T],
    *,
    pieces: AsyncIterable[bytes],
    headers: Mapping[str, str],
    within: httpx.Timeout | None = None,
    cut: str = "",
) -> T:
    """`cut`: what to say where the connection ends meanwhile."""
    try:
        response = await client.http.request(
            method,
            path,
            content=pieces,
            headers={"Accept": "application/json", **headers},
            timeout=within or client.http.timeout,
        )
    except httpx.TransportError as error:
        if cut and isinstance(error, httpx.ReadError | httpx.RemoteProtocolError):
            raise CliError(cut, Exit.UNREACHABLE) from error
        raise Unreachable(client.url, error) from error
    if not response.is_success:
        raise Refused(problem_of(response))
    return decoded(response, answer)


async def pieces_of(file: IO[bytes], meter: Meter) -> AsyncGenerator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece
        meter.went(len(piece))


async def fetch_file(client: ApiClient, path: str, target: Path) -> int:
    """How many bytes. Beside it first: a cut leaves what was there."""
    beside = target.with_name(f".{target.name}.part")
    try:
        with (
            beside.open("wb") as file,
            metered(Output(), f"fetching {target.name}") as meter,
        ):
            await received(client, path, file, meter)
        beside.replace(target)
    except OSError as error:
        raise CliError(f"{target}: {error.strerror}", Exit.USAGE) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return meter.bytes


async def send_file(
    client: ApiClient,
    method: str,
    path: str,
    answer: type[T],
    *,
    file: IO[bytes],
    headers: Mapping[str, str],
    what: str,
) -> T:
    """`headers` name its length."""
    size = int(headers["Content-Length"])
    with metered(Output(), f"sending {what}", total_bytes=size) as meter:
        pieces = pieces_of(file, meter)
        return await sent(client, method, path, answer, pieces=pieces, headers=headers)


async def send_tree(client: ApiClient, place: str, source: Path, path: str) -> UploadedFiles:
    """All that is in the directory `source`, to a place that takes uploads; `.` is its top."""
    inner = "" if path == "." else path
    with TemporaryFile() as packed:
        try:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
                archive.add(source, arcname=".")
        except OSError as error:
            raise CliError(f"{error.filename or source}: {error.strerror}", Exit.USAGE) from error
        size = packed.tell()
        packed.seek(0)
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        there = f"{place}?path={quoted(inner)}"
        return await send_file(
            client, "POST", there, UploadedFiles, file=packed, headers=headers, what=str(source)
        )


def quoted(path: str) -> str:
    """In a query that stands as it is. Any name that a shell can give: it need not be UTF-8."""
    return quote_from_bytes(os.fsencode(path), safe="")


def _expect(meter: Meter, headers: httpx.Headers) -> None:
    size = headers.get(BYTES_HEADER) or headers.get("content-length", "")
    if size.isdecimal():
        files = headers.get(FILES_HEADER)
        meter.expect(int(size), f"fetching {files} files" if files else None)
