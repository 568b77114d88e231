"""One answer on its way to an agent: as it comes, and a cut one never looks whole."""

import asyncio
from typing import Literal

import aiohttp
from aiohttp import web

from chassis.logs import get_logger
from executor_manager.relay.agent_policy import ToUpstream
from executor_manager.relay.bodies import Body
from executor_manager.relay.headers import to_agent
from executor_manager.relay.streams import Streams

_log = get_logger()


class UpstreamCut(Exception):
    """The upstream's part of the answer will not come whole."""


class Passing:
    def __init__(
        self,
        request: web.BaseRequest,
        to: ToUpstream,
        upstream: aiohttp.ClientResponse,
        body: Body,
        streams: Streams,
    ) -> None:
        self._request = request
        self._to = to
        self._upstream = upstream
        self._body = body
        self._streams = streams

    async def run(self, value: str, silence: float) -> web.StreamResponse:
        """`value` is the credential's, which no header of the answer may hold."""
        headers = to_agent(self._upstream.headers, self._to.upstream, value)
        answer = web.StreamResponse(status=self._upstream.status, headers=headers)
        try:
            await answer.prepare(self._request)
            while part := await self._next(silence):
                await answer.write(part)
            await answer.write_eof()
        except UpstreamCut as cut:
            self._cut("upstream", str(cut))
            abort(self._request)
        except ConnectionError:
            _log.debug("agent_went_away", upstream=self._to.upstream.name)
        except asyncio.CancelledError:
            self._cut("relay", "its worker's socket is closed")
            raise
        else:
            if 200 <= self._upstream.status < 300:
                self._streams.answered(
                    upstream=self._to.upstream.name, body_sha256=self._body.sha256
                )
        return answer

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
        if gone(self._request):
            return
        name = self._to.upstream.name
        _log.warning("answer_cut", upstream=name, by=by, why=why)
        self._streams.cut(upstream=name, path=self._to.path, body_sha256=self._body.sha256, by=by)


def gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def abort(request: web.BaseRequest) -> None:
    """Whoever reads must see a cut, not an end."""
    if request.transport is not None:
        request.transport.abort()
