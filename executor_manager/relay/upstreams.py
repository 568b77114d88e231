"""Forwards what was allowed: streams both ways, and waits for an upstream that is away."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

import aiohttp
import msgspec
import yarl
from aiohttp import web

from chassis.logs import get_logger
from contracts.egress import TELL_DENIALS, TellDenials
from contracts.errors import Code
from contracts.relay import RelayPolicy, RelayRoutes
from executor_manager.relay.passing import abort, gone
from executor_manager.relay.policy import Allowed, Upstream
from executor_manager.relay.problems import problem, unavailable
from executor_manager.relay.settings import Settings
from executor_manager.relay.telling import Outcome
from executor_manager.relay.waiting import AWAY, CONNECT_SECONDS, until_connected

CHUNK = 256 * 1024
TELL_AGAIN = frozenset({401, 408, 429})

_ANSWERED = frozenset(
    {"content-type", "content-length", "content-encoding", "content-range", "etag"}
    | {"retry-after", "x-trace-id", "x-request-id", "last-modified"}
)
_NAMES: dict[Upstream, str] = {
    "control_plane": "the control plane",
    "object_store": "the object store",
}

_log = get_logger()


class Upstreams:
    """`routes` is None until the manager has pushed it."""

    def __init__(self, settings: Settings) -> None:
        self.routes: RelayRoutes | None = None
        self._settings = settings
        self._stack = AsyncExitStack()
        self._sessions: dict[Upstream, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        whole = {
            "control_plane": self._settings.relay_call_deadline_seconds,
            "object_store": self._settings.relay_transfer_deadline_seconds,
        }
        for upstream in _NAMES:
            self._sessions[upstream] = await self._stack.enter_async_context(
                _session(
                    deadline=whole[upstream],
                    silence=self._settings.relay_silence_seconds,
                    # a body that was streamed cannot be sent again on a second connection, which
                    # aiohttp does for PUT when a kept one turns out to be closed
                    keep=upstream == "control_plane",
                )
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def forward(
        self, request: web.BaseRequest, allowed: Allowed, added: Mapping[str, str]
    ) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() in allowed.headers}
        try:
            upstream = await self._first_byte(request, allowed, {**headers, **added})
        except AWAY:
            return unavailable(_NAMES[allowed.upstream], "wait until it accepts connections again")
        except TimeoutError:
            return problem(Code.UPSTREAM_TIMEOUT, f"{_NAMES[allowed.upstream]} did not answer")
        except aiohttp.ClientError as error:
            # never its text: some hold the request's headers, and with them the token
            _log.warning("upstream_failed", upstream=allowed.upstream, error=type(error).__name__)
            return unavailable(_NAMES[allowed.upstream], "it ended the connection: try again")
        if upstream is None:
            return unavailable("the relay's routes", "wait until the manager has pushed them")
        async with upstream:
            return await _stream(request, upstream)

    async def tell(self, policy: RelayPolicy, batch: TellDenials) -> Outcome:
        """One attempt, with the worker's token as it was pushed last."""
        if self.routes is None:
            return "again"
        path = TELL_DENIALS.path.format(worker_id=policy.worker_id)
        url = yarl.URL(self.routes.control_plane_url.rstrip("/") + path, encoded=True)
        headers = {"Authorization": f"Bearer {policy.token}", "Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(TELL_DENIALS.deadline),
                self._sessions["control_plane"].post(
                    url, data=msgspec.json.encode(batch), headers=headers, allow_redirects=False
                ) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.debug("denials_wait", error=type(error).__name__)
            return "again"
        if status < 300:
            return "taken"
        # 401: another token is about to be pushed; without one the worker's policy is withdrawn
        return "again" if status in TELL_AGAIN or status >= 500 else "refused"

    async def _first_byte(
        self, request: web.BaseRequest, allowed: Allowed, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse | None:
        async def send() -> aiohttp.ClientResponse | None:
            url = self._url(allowed)
            return None if url is None else await self._send(request, url, allowed, headers)

        return await until_connected(
            send, seconds=self._settings.relay_wait_seconds, hung_up=lambda: gone(request)
        )

    def _url(self, allowed: Allowed) -> yarl.URL | None:
        if self.routes is None:
            return None
        if allowed.upstream == "control_plane":
            base = self.routes.control_plane_url.rstrip("/")
        else:
            base = str(yarl.URL(self.routes.object_store_url).origin())
        return yarl.URL(base + allowed.target, encoded=True)

    async def _send(
        self, request: web.BaseRequest, url: yarl.URL, allowed: Allowed, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        return await self._sessions[allowed.upstream].request(
            request.method,
            url,
            headers=headers,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        )


async def _stream(request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = {k: v for k, v in upstream.headers.items() if k.lower() in _ANSWERED}
    answer = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    try:
        await answer.prepare(request)
        async for chunk in upstream.content.iter_chunked(CHUNK):
            await answer.write(chunk)
        await answer.write_eof()
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        _log.warning("answer_cut", error=type(error).__name__)
        # whoever reads must see a cut, not an end
        abort(request)
    return answer


def _session(*, deadline: float, silence: float, keep: bool) -> aiohttp.ClientSession:
    # uvicorn and others close idle connections after 5 s: ours are gone before
    if keep:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    else:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(
            total=deadline, sock_connect=CONNECT_SECONDS, sock_read=silence
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,  # a proxy from the environment must never see tokens
    )
