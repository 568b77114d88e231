"""A workspace's tar from the server into a file without a name, and its entries from there.

What a server sends is read as carefully as what anybody sends: each path is checked, and nothing is
written by whoever reads.
"""

import tarfile
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO
from uuid import UUID

import httpx

from cli import transfers
from cli.client import ApiClient
from cli.exits import CliError, Exit
from cli.output import Output
from cli.progress import metered
from contracts.trees import SNAPSHOT_HEADER, WITHHELD_HEADER
from snapshots.errors import BadPath
from snapshots.model import Kind
from snapshots.paths import order, parts_of

TIMEOUT = httpx.Timeout(connect=5.0, read=120.0, write=30.0, pool=5.0)
SECOND = 1_000_000_000
CUT = (
    "The workspace was cut before its end: something of it cannot be read. See the control"
    " plane's log, or take an earlier snapshot with --snapshot."
)

_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.LINK,
    tarfile.LNKTYPE: Kind.TWIN,
}


@dataclass(frozen=True, slots=True)
class Entry:
    path: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    size: int
    target: bytes
    offset: int
    """Of its content in the archive."""


@dataclass(frozen=True, slots=True)
class Received:
    file: IO[bytes]
    snapshot: str
    withheld: int

    def entries(self) -> Iterator[Entry]:
        """In the order of paths. Raises `CliError` for what no workspace is."""
        self.file.seek(0)
        last: list[bytes] | None = None
        try:
            with tarfile.open(
                fileobj=self.file, mode="r:", encoding="utf-8", errors="surrogateescape"
            ) as archive:
                while (member := archive.next()) is not None:
                    entry = _entry(member)
                    place = order(entry.path)
                    if last is not None and place <= last:
                        raise _wrong(entry.path, "it is out of order")
                    last = place
                    yield entry
                    # or every entry would be remembered
                    archive.members = []  # pyright: ignore[reportAttributeAccessIssue]  # untyped
        except tarfile.TarError as error:
            raise CliError(f"The workspace came damaged: {error}.", Exit.INTERNAL) from error

    def content(self, entry: Entry) -> bytes:
        self.file.seek(entry.offset)
        return self.file.read(entry.size)

    def pieces(self, entry: Entry, size: int = 1024 * 1024) -> Iterator[bytes]:
        place, left = entry.offset, entry.size
        while left:
            self.file.seek(place)
            piece = self.file.read(min(size, left))
            if not piece:
                raise _wrong(entry.path, "it is cut")
            place, left = place + len(piece), left - len(piece)
            yield piece


@asynccontextmanager
async def received(
    client: ApiClient, session: UUID, query: Mapping[str, str], output: Output
) -> AsyncGenerator[Received]:
    path = f"/api/v1/sessions/{session}/workspace/export"
    with tempfile.TemporaryFile() as file:
        with metered(output, f"fetching {session}") as meter:
            headers = await transfers.received(
                client, path, file, meter, query=query, within=TIMEOUT, cut=CUT
            )
        yield Received(
            file, headers.get(SNAPSHOT_HEADER, ""), int(headers.get(WITHHELD_HEADER, "0"))
        )


def _entry(member: tarfile.TarInfo) -> Entry:
    path = member.name.encode(errors="surrogateescape").rstrip(b"/")
    kind = _KINDS.get(member.type)
    if kind is None:
        raise _wrong(path, "it is neither a file nor a directory nor a link")
    target = member.linkname.encode(errors="surrogateescape")
    try:
        parts_of(path)
        if kind is Kind.TWIN:
            parts_of(target)
    except BadPath as error:
        raise _wrong(path, "it leads out of its tree") from error
    told = member.pax_headers.get("mtime")
    return Entry(
        path,
        kind,
        member.mode & 0o7777,
        _nanoseconds(told) if told else int(member.mtime) * SECOND,
        member.size if kind is Kind.FILE else 0,
        target if kind in {Kind.LINK, Kind.TWIN} else b"",
        member.offset_data,
    )


def _nanoseconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if not (whole.lstrip("-").isdecimal() and len(whole) < 12):
        return 0
    part = int(fraction[:9].ljust(9, "0")) if fraction[:9].isdecimal() else 0
    return int(whole) * SECOND + (-part if whole.startswith("-") else part)


def _wrong(path: bytes, why: str) -> CliError:
    name = path.decode(errors="backslashreplace")[:300]
    return CliError(f"The server sent what no workspace has: {name}: {why}.", Exit.INTERNAL)
