"""The workspace's files over HTTP: the routes that move bytes, and what belongs to them.

Whom a name is withheld from the manager says, in a header that nobody else can send.
"""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from chassis.errors import BerthError
from chassis.files.names import wrong
from chassis.files.ranges import content_range
from chassis.files.sensitive import Sensitive, sensitive_in
from contracts.errors import Code
from contracts.workspace_files import (
    EXECUTOR_WORKSPACE,
    MOST_DEPTH,
    MOST_ITEMS,
    WITHHELD_HEADER,
    Operation,
)
from executor.files.searching import AskedSearch
from executor.http_routes import Answer, Request, Route, Stream
from executor.services.files import OpenedFile, WorkspaceFiles

TAR = "application/x-tar"
_NUMBER = re.compile(rb"[0-9]{1,9}")
_FLAGS = {b"": False, b"0": False, b"1": True, b"true": True, b"false": False}


class Asked:
    """A request's parameters, each read once and in its bounds. Raises `validation_failed`."""

    def __init__(self, request: Request) -> None:
        self._found = request.parameters()
        self.headers = request.headers

    @property
    def withheld(self) -> Sensitive:
        return sensitive_in(self.headers.get(WITHHELD_HEADER, ""))

    def path(self, name: str = "path") -> bytes:
        return self._found.get(name, b"")

    def text(self, name: str) -> str:
        try:
            return self._found.get(name, b"").decode()
        except UnicodeDecodeError as error:
            raise wrong(name, "text in UTF-8") from error

    def number(self, name: str, default: int, most: int) -> int:
        value = self._found.get(name, b"")
        if not value:
            return default
        if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= most:
            raise wrong(name, f"a whole number from 1 to {most}")
        return int(value)

    def flag(self, name: str) -> bool:
        value = _FLAGS.get(self._found.get(name, b""))
        if value is None:
            raise wrong(name, "1 or 0")
        return value

    @property
    def cursor(self) -> str | None:
        return self.text("cursor") or None


class FileRoutes:
    """`files` raises `BerthError` while there is no workspace."""

    def __init__(self, files: Callable[[], WorkspaceFiles]) -> None:
        self._files = files

    def routes(self) -> list[Route]:
        return [
            _route("GET", "tree", self.tree),
            _route("GET", "file", self.read),
            _route("PUT", "file", self.write, streamed=True),
            _route("DELETE", "file", self.delete),
            _route("POST", "upload", self.upload, streamed=True),
            _route("POST", "rename", self.rename),
            _route("POST", "mkdir", self.make_directory),
            _route("GET", "download", self.download),
            _route("GET", "search", self.search),
        ]

    async def tree(self, request: Request) -> Answer:
        asked = Asked(request)
        found = await self._files().tree(
            asked.path(),
            depth=asked.number("depth", 1, MOST_DEPTH),
            limit=asked.number("limit", 100, MOST_ITEMS),
            cursor=asked.cursor,
            withheld=asked.withheld,
        )
        return _json(found)

    async def read(self, request: Request) -> Answer:
        asked = Asked(request)
        found = await self._files().read(
            asked.path(),
            wanted=asked.headers.get("range", ""),
            none_match=asked.headers.get("if-none-match", ""),
            withheld=asked.withheld,
        )
        return _file(found)

    async def download(self, request: Request) -> Answer:
        asked = Asked(request)
        if not await self._files().is_directory(asked.path()):
            return await self.read(request)
        chunks = await self._files().archive(asked.path(), asked.withheld)
        headers = {"content-type": "application/zip"}
        return Answer(headers=headers, body=Stream(size=None, chunks=chunks))

    async def write(self, request: Request) -> Answer:
        asked = Asked(request)
        assert request.content is not None  # noqa: S101  # the route is a streamed one
        written = await self._files().write(
            asked.path(),
            request.content,
            match=asked.headers.get("if-match", ""),
            none_match=asked.headers.get("if-none-match", ""),
            withheld=asked.withheld,
        )
        status = 201 if written.created else 200
        return _json(written, status=status, etag=written.entry.etag)

    async def upload(self, request: Request) -> Answer:
        asked = Asked(request)
        assert request.content is not None  # noqa: S101  # the route is a streamed one
        kind = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != TAR:
            raise BerthError(Code.UNSUPPORTED_MEDIA, f"a tree is sent as {TAR}, not as {kind!r}")
        return _json(await self._files().unpack(asked.path(), request.content, asked.withheld))

    async def rename(self, request: Request) -> Answer:
        asked = Asked(request)
        moved = await self._files().rename(
            asked.path("from"),
            asked.path("to"),
            overwrite=asked.flag("overwrite"),
            withheld=asked.withheld,
        )
        return _json(moved)

    async def make_directory(self, request: Request) -> Answer:
        asked = Asked(request)
        made = await self._files().make_directory(
            asked.path(), parents=asked.flag("parents"), withheld=asked.withheld
        )
        return _json(made, status=201)

    async def delete(self, request: Request) -> Answer:
        asked = Asked(request)
        gone = await self._files().delete(
            asked.path(),
            recursive=asked.flag("recursive"),
            match=asked.headers.get("if-match", ""),
            withheld=asked.withheld,
        )
        return _json(gone)

    async def search(self, request: Request) -> Answer:
        asked = Asked(request)
        search = AskedSearch(
            path=asked.path(),
            name=asked.text("name"),
            text=asked.text("text"),
            fold=asked.flag("ignore_case"),
            limit=asked.number("limit", 100, MOST_ITEMS),
            cursor=asked.cursor,
        )
        return _json(await self._files().search(search, asked.withheld))


def _route(
    method: str,
    operation: Operation,
    handle: Callable[[Request], Awaitable[Answer]],
    *,
    streamed: bool = False,
) -> Route:
    path = EXECUTOR_WORKSPACE + operation
    return Route(method=method, path=path, handle=handle, streamed=streamed)


def _json(answer: Any, *, status: int = 200, etag: str = "") -> Answer:  # noqa: ANN401  # any struct
    headers = {"content-type": "application/json"}
    if etag:
        headers["etag"] = etag
    return Answer(status=status, headers=headers, body=msgspec.json.encode(answer))


def _file(found: OpenedFile) -> Answer:
    headers = {
        "content-type": "application/octet-stream",
        "accept-ranges": "bytes",
        "etag": found.etag,
        **_modified(found.mtime),
    }
    if found.chunks is None:
        return Answer(status=304, headers=headers)
    if found.stretch is None:
        return Answer(headers=headers, body=Stream(size=found.size, chunks=found.chunks))
    headers["content-range"] = content_range(found.stretch, found.size)
    body = Stream(size=found.stretch.length, chunks=found.chunks)
    return Answer(status=206, headers=headers, body=body)


def _modified(seconds: float) -> dict[str, str]:
    """Nothing for a time that no date can hold: whoever owns a file may set any."""
    try:
        moment = time.gmtime(seconds)
    except (OverflowError, OSError, ValueError):
        return {}
    if not 1970 <= moment.tm_year <= 9999:
        return {}
    return {"last-modified": time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)}
