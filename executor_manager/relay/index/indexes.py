"""Answers from package indexes: pages with their links led back, files as they come."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import web

from contracts.errors import Code
from executor_manager.relay.asking import Asking, Token
from executor_manager.relay.bodies import Body
from executor_manager.relay.credentials import Credentials
from executor_manager.relay.denials import closing
from executor_manager.relay.headers import Lines, to_agent
from executor_manager.relay.index.links import Links
from executor_manager.relay.index.pages import (
    NoRoom,
    PageTooLarge,
    Place,
    Room,
    is_rewritten,
    place_in,
    read_page,
    rewritten,
)
from executor_manager.relay.index.paths import ToIndex, is_own_file, is_page, origin
from executor_manager.relay.named import NamedUpstreams
from executor_manager.relay.passing import Passing, abort
from executor_manager.relay.policy import Denied
from executor_manager.relay.problems import problem, unavailable
from executor_manager.relay.settings import Settings
from executor_manager.relay.streams import Streams
from executor_manager.relay.targets import ambiguous

REDIRECTS = 4
CHUNK = 64 * 1024

_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Whoever dials reads a URL once more: nothing that is left out by one reader, or turned around."""
_MOVED = frozenset({301, 302, 303, 307, 308})
_PAGE_HEADERS = frozenset({"accept", "if-modified-since", "if-none-match", "user-agent"})
_FILE_HEADERS = _PAGE_HEADERS | {"accept-encoding", "if-range", "range"}
_NOT_OF_THE_PAGE = frozenset({"content-encoding", "content-length", "content-md5", "digest"})


class _AskingIndex(Asking):
    """Of what an agent sends little goes along: what a page or a file can be asked with."""

    def __init__(self, request: web.BaseRequest, to: ToIndex, body: Body, token: Token) -> None:
        super().__init__(request, to, body, token)
        self.to_index = to

    async def headers(self, credentials: Credentials) -> Lines:
        lines = await super().headers(credentials)
        known = set(_PAGE_HEADERS if self.to_index.kind == "page" else _FILE_HEADERS)
        if self.added is not None:
            known.add(self.added.header.lower())
        kept = [(name, text) for name, text in lines if name.lower() in known]
        if self.to_index.kind == "page":
            packed = "gzip" in self.request.headers.get("Accept-Encoding", "").lower()
            kept.append(("Accept-Encoding", "gzip" if packed else "identity"))
        return kept


class Indexes:
    def __init__(self, settings: Settings, named: NamedUpstreams) -> None:
        self._settings = settings
        self._named = named
        self._room = Room(settings.relay_index_room_bytes)

    def room(self) -> Room:
        """For one worker: half of all."""
        return Room(self._settings.relay_index_room_bytes // 2, self._room)

    async def forward(
        self, request: web.BaseRequest, to: ToIndex, streams: Streams, room: Room
    ) -> web.StreamResponse | Denied:
        if streams.open >= self._settings.relay_agent_requests:
            return closing(problem(Code.RATE_LIMITED, "too many requests are under way"))
        streams.open += 1
        try:
            return await self._follow(request, to, room)
        finally:
            streams.open -= 1

    async def _follow(
        self, request: web.BaseRequest, to: ToIndex, room: Room
    ) -> web.StreamResponse | Denied:
        for _ in range(REDIRECTS + 1):
            asking = _AskingIndex(request, to, self._body(request), lambda: "")
            upstream = await self._named.answer(asking)
            if isinstance(upstream, web.Response):
                return closing(upstream)
            async with upstream:
                if upstream.status not in _MOVED:
                    return await self._pass(asking, upstream, room)
                moved = _moved(to, upstream.headers.get("Location", ""))
            if isinstance(moved, Denied):
                return moved
            to = moved
        return closing(unavailable(f"the upstream {to.upstream.name}", "it redirects in circles"))

    async def _pass(
        self,
        asking: _AskingIndex,
        upstream: aiohttp.ClientResponse,
        room: Room,
    ) -> web.StreamResponse:
        to = asking.to_index
        page = to.kind == "page" and upstream.status == 200
        if not page or not is_rewritten(to.upstream, upstream.content_type):
            silence = self._settings.relay_stream_silence_seconds
            # remembered by nobody: an install's many answers would push out what a model said
            return await Passing(asking, upstream, Streams()).run(silence)
        with place_in(room) as place:
            answer = await self._page(asking, upstream, place)
            await self._write(asking.request, answer)
        return answer

    async def _page(
        self, asking: _AskingIndex, upstream: aiohttp.ClientResponse, place: Place
    ) -> web.Response:
        name = f"the upstream {asking.name}"
        try:
            async with asyncio.timeout(self._settings.relay_index_seconds):
                return await self._rewritten(asking, upstream, place)
        except NoRoom:
            return closing(unavailable("room for pages of indexes", "try again"))
        except PageTooLarge:
            return closing(unavailable(name, "its page is larger than the relay passes on"))
        except TimeoutError:
            return closing(problem(Code.UPSTREAM_TIMEOUT, f"{name} did not answer in time"))
        # a MsgspecError is a ValueError; and what is nested too deeply is no page either
        except (aiohttp.ClientError, OSError, ValueError, RecursionError):
            return closing(unavailable(name, "it did not answer as an index does"))

    async def _rewritten(
        self, asking: _AskingIndex, upstream: aiohttp.ClientResponse, place: Place
    ) -> web.Response:
        headers = [
            (name, text)
            for name, text in to_agent(upstream.headers, asking.added)
            if name.lower() not in _NOT_OF_THE_PAGE
        ]
        if asking.request.method == "HEAD":
            return web.Response(headers=headers)
        body = await read_page(
            _parts(upstream),
            upstream.headers.get("Content-Encoding", "identity").lower(),
            limit=self._settings.relay_index_bytes,
            place=place,
        )
        to = asking.to_index
        # npm takes no link without a host; others take a path for what it is
        here = f"http://{to.here}" if to.upstream.index == "npm" else ""
        links = Links(to.upstream, to.target, here)
        new = await asyncio.to_thread(rewritten, body, upstream.content_type, links)
        return web.Response(body=new, headers=headers)

    async def _write(self, request: web.BaseRequest, answer: web.Response) -> None:
        """Within its time: as long as it is not read it takes room."""
        try:
            async with asyncio.timeout(self._settings.relay_index_seconds):
                await answer.prepare(request)
                await answer.write_eof()
        except TimeoutError:
            abort(request)

    def _body(self, request: web.BaseRequest) -> Body:
        silence = self._settings.relay_stream_silence_seconds
        return Body(request, limit=0, silence=silence)


def _moved(to: ToIndex, location: str) -> ToIndex | Denied:
    """Within the index its own paths count, on file hosts any."""
    try:
        target = urljoin(to.target, location)
        parts, place = urlsplit(target), origin(target)
        base = urlsplit(to.upstream.url.rstrip("/"))
    except ValueError:
        return Denied("redirect")
    if "@" in parts.netloc or not location or not _PLAIN.fullmatch(target):
        return Denied("redirect")
    target = target.partition("#")[0]
    if place == origin(to.upstream.url) and parts.path.startswith(f"{base.path}/"):
        path = parts.path.removeprefix(base.path)
        if is_page(to.upstream, path):
            return dataclasses.replace(to, target=target)
        if is_own_file(to.upstream, path) and ambiguous(path) is None:
            return dataclasses.replace(to, target=target)
    if to.kind == "file" and place in [origin(host) for host in to.upstream.file_hosts]:
        return dataclasses.replace(to, target=target)
    return Denied("redirect")


async def _parts(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for part in upstream.content.iter_chunked(CHUNK):
        yield part
