"""One answer on its way to an agent: as it comes, and a cut one never looks whole."""

import asyncio
from typing import Literal

import aiohttp
from aiohttp import web

from chassis.logs import get_logger
from executor_manager.relay.asking import Asking
from executor_manager.relay.headers import to_agent
from executor_manager.relay.streams import Streams

_log = get_logger()


class UpstreamCut(Exception):
    """The upstream's part of the answer will not come whole."""


class Passing:
    def __init__(self, asking: Asking, upstream: aiohttp.ClientResponse, streams: Streams) -> None:
        self._asking = asking
        self._upstream = upstream
        self._streams = streams

    async def run(self, silence: float) -> web.StreamResponse:
        request, upstream = self._asking.request, self._upstream
        headers = to_agent(upstream.headers, self._asking.added)
        answer = web.StreamResponse(status=upstream.status, headers=headers)
        try:
            await answer.prepare(request)
            while part := await self._next(silence):
                await answer.write(part)
            await answer.write_eof()
        except UpstreamCut as cut:
            self._cut("upstream", str(cut))
            abort(request)
        except ConnectionError:
            _log.debug("agent_went_away", upstream=self._asking.name)
        except asyncio.CancelledError:
            self._cut("relay", "its worker's socket is closed")
            raise
        else:
            self._came_whole()
        return answer

    def _came_whole(self) -> None:
        status = self._upstream.status
        if 200 <= status < 300:
            self._streams.answered(self._asking.asked)
        elif status >= 400:
            self._streams.refused(self._asking.asked, status)

    async def _next(self, silence: float) -> bytes:
        """Raises `UpstreamCut`: what goes wrong in here is not the agent's."""
        try:
            async with asyncio.timeout(silence):
                return await self._upstream.content.readany()
        except TimeoutError as error:
            raise UpstreamCut(f"nothing came for {silence:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamCut(type(error).__name__) from error

    def _cut(self, by: Literal["upstream", "relay"], why: str) -> None:
        if gone(self._asking.request):
            return
        _log.warning("answer_cut", upstream=self._asking.name, by=by, why=why)
        self._streams.cut(self._asking.asked, by=by)


def gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def abort(request: web.BaseRequest) -> None:
    """Whoever reads must see a cut, not an end."""
    if request.transport is not None:
        request.transport.abort()
