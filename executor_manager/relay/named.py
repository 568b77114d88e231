"""Forwards to named upstreams: the credential is added here, and a cut answer is told as one."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import aiohttp
import yarl
from aiohttp import web

from chassis.logs import get_logger
from contracts.errors import Code
from executor_manager.relay.asking import Asking, Token
from executor_manager.relay.bodies import Body
from executor_manager.relay.credentials import CredentialMissing, Credentials
from executor_manager.relay.denials import closing
from executor_manager.relay.passing import Passing, gone
from executor_manager.relay.problems import problem, unavailable
from executor_manager.relay.settings import Settings
from executor_manager.relay.streams import Streams
from executor_manager.relay.targets import ToUpstream
from executor_manager.relay.waiting import AWAY, CONNECT_SECONDS, until_connected

PROBLEM = "application/problem+json"

_log = get_logger()


class NamedUpstreams:
    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._credentials = Credentials(settings.relay_credentials_dir)
        self._session = session

    async def forward(
        self, request: web.BaseRequest, to: ToUpstream, streams: Streams, token: Token
    ) -> web.StreamResponse:
        silence = self._settings.relay_stream_silence_seconds
        body = Body(request, limit=self._settings.relay_body_bytes, silence=silence)
        asking = Asking(request, to, body, token)
        if streams.open >= self._settings.relay_agent_requests:
            answer = problem(Code.RATE_LIMITED, "too many requests are under way")
            return _refuse(asking, streams, answer)
        streams.open += 1
        try:
            upstream = await self.answer(asking)
            if isinstance(upstream, web.Response):
                return _refuse(asking, streams, upstream)
            async with upstream:
                return await Passing(asking, upstream, streams).run(silence)
        finally:
            streams.open -= 1

    async def answer(self, asking: Asking) -> aiohttp.ClientResponse | web.Response:
        """The upstream's, begun, or our own instead."""
        asking.body.check_length()
        try:
            return asking.body.refused or await self._first_byte(asking)
        except CredentialMissing as missing:
            _log.warning("credential_missing", upstream=asking.name, how=missing.how)
            return unavailable(missing.what, missing.how)

    async def _first_byte(self, asking: Asking) -> aiohttp.ClientResponse | web.Response:
        name = f"the upstream {asking.name}"
        try:
            upstream = await self._until_answered(asking)
        except aiohttp.ClientSSLError as error:
            return self._failed(asking, error, "its certificate is not one that the relay trusts")
        except AWAY as error:
            return self._failed(asking, error, "wait until it accepts connections again")
        except TimeoutError:
            return problem(Code.UPSTREAM_TIMEOUT, f"{name} did not answer")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            how = "it ended the connection: try again"
            return asking.body.refused or self._failed(asking, error, how)
        if upstream is None or upstream.status < 200:  # 101: what follows would not be HTTP
            return unavailable(name, "it did not answer as HTTP does")
        if asking.to.upstream.as_worker and _is_of_the_token(upstream):
            # overtaken by its successor's first use; an agent would take it for its own key's end
            upstream.close()
            return unavailable("the worker's token", "try again with the one that comes")
        return upstream

    async def _until_answered(self, asking: Asking) -> aiohttp.ClientResponse | None:
        """Raises what the client does. The deadline begins again with each part of the body."""
        settings, clock = self._settings, asyncio.get_running_loop()
        seconds = settings.relay_first_byte_seconds
        answered = False
        async with asyncio.timeout(settings.relay_wait_seconds + seconds) as deadline:

            def moved() -> None:
                if not answered:
                    deadline.reschedule(clock.time() + seconds)

            async def send() -> aiohttp.ClientResponse:
                return await self._send(asking, moved)

            try:
                return await until_connected(
                    send, seconds=settings.relay_wait_seconds, hung_up=lambda: gone(asking.request)
                )
            finally:
                answered = True

    async def _send(self, asking: Asking, moved: Callable[[], None]) -> aiohttp.ClientResponse:
        return await self._session.request(
            asking.request.method,
            yarl.URL(asking.to.url, encoded=True),
            headers=await asking.headers(self._credentials),
            data=asking.body.stream(moved),
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        )

    def _failed(self, asking: Asking, error: Exception, how: str) -> web.Response:
        # never its text: some hold the request's headers
        _log.warning("upstream_failed", upstream=asking.name, error=type(error).__name__)
        return unavailable(f"the upstream {asking.name}", how)


def _is_of_the_token(upstream: aiohttp.ClientResponse) -> bool:
    """The control plane's own refusal: a provider's, which it passes on, has another type."""
    return upstream.status == 401 and upstream.content_type == PROBLEM


def _refuse(asking: Asking, streams: Streams, answer: web.Response) -> web.Response:
    """By ourselves; whoever is told of it has to be there still."""
    if not gone(asking.request):
        streams.refused(asking.asked, answer.status)
    return closing(answer)


@asynccontextmanager
async def named_upstreams(settings: Settings) -> AsyncGenerator[NamedUpstreams]:
    async with aiohttp.ClientSession(
        # a connection for each request: what one session asked for is never answered to another
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,  # a proxy from the environment must never see credentials
    ) as session:
        # without it a GET that the upstream dropped arrives a second time
        setattr(session, "_retry_connection", False)  # noqa: B010  # it has no public name
        yield NamedUpstreams(settings, session)
