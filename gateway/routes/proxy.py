"""Everything under `/api/`: known, within its limit, and passed on as it comes."""

import re
from collections.abc import AsyncGenerator

import aiohttp
from litestar.datastructures import Headers
from litestar.types import HTTPScope, Receive, Send
from yarl import URL

from chassis.errors import BerthError, DependencyUnavailable, NotFound
from chassis.logs import get_logger
from chassis.telemetry import traceparent
from contracts.errors import Code
from gateway.admission import Admission
from gateway.auth import Caller
from gateway.exchange import ClientBody, Patience
from gateway.headers import Hop, to_upstream
from gateway.settings import Settings
from gateway.stream import Answer

_IMPORT = re.compile(
    rb"/api/v1/(?:projects/[0-9A-Fa-f-]{32,36}/sessions|sessions/[0-9A-Fa-f-]{32,36}/workspace)/import"
)

_UPLOAD = re.compile(rb"/api/v1/projects/[0-9A-Fa-f-]{32,36}/files/upload")

_log = get_logger()


class Proxy:
    """One upstream: the control plane."""

    def __init__(
        self,
        settings: Settings,
        *,
        admission: Admission,
        upstream: aiohttp.ClientSession,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._upstream = upstream
        self._base = settings.control_plane_url.rstrip("/")
        self._answers: set[Answer] = set()
        self._stopping = False

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        headers = Headers.from_scope(scope)
        if "websocket" in headers.get("upgrade", "").lower():
            raise NotFound(Code.NOT_FOUND, "there is no WebSocket under this path")
        admitted = await self._admission.admit(scope, send)
        if admitted is None:
            return
        most = self._most(scope)
        if int(headers.get("content-length", "0")) > most:
            raise BerthError(Code.TOO_LARGE, f"a body holds at most {most} bytes")
        body = ClientBody(receive, most, self._settings.idle_seconds)
        await self._pass_on(scope, body, admitted.send, admitted.caller)

    def _most(self, scope: HTTPScope) -> int:
        """Bytes of a body. Compared as it was sent: what reads otherwise elsewhere has less."""
        if scope["method"] == "POST" and _IMPORT.fullmatch(scope["raw_path"]):
            return self._settings.max_import_bytes
        if scope["method"] == "POST" and _UPLOAD.fullmatch(scope["raw_path"]):
            return self._settings.max_upload_bytes
        return self._settings.max_body_bytes

    def stop(self) -> None:
        """Event streams under way are told to come back elsewhere."""
        self._stopping = True
        for answer in list(self._answers):
            answer.stop()

    async def _pass_on(
        self, scope: HTTPScope, body: ClientBody, send: Send, caller: Caller
    ) -> None:
        await self.pass_admitted(scope, await body.first(), body, send, caller)

    async def pass_admitted(
        self,
        scope: HTTPScope,
        data: bytes | AsyncGenerator[bytes] | None,
        body: ClientBody,
        send: Send,
        caller: Caller,
    ) -> None:
        """`data` is what was read first of the body."""
        patience = Patience(body, self._settings.first_byte_seconds)
        answer = Answer(send, patience, self._settings.idle_seconds)
        self._answers.add(answer)
        if self._stopping:
            answer.stop()
        try:
            async with patience:
                await self._exchange(scope, data, caller, answer)
        except aiohttp.ClientError as error:
            self._upstream_failed(error, body, answer)
        except TimeoutError:
            await self._ended(patience, answer)
        finally:
            self._answers.discard(answer)

    async def _exchange(
        self,
        scope: HTTPScope,
        data: bytes | AsyncGenerator[bytes] | None,
        caller: Caller,
        answer: Answer,
    ) -> None:
        # as it was sent: any normalising here could make another path of it
        target = scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("ascii")
        async with self._upstream.request(
            scope["method"],
            URL(self._base + target, encoded=True),
            headers=to_upstream(scope["headers"], _hop(scope, caller)),
            data=data,
            allow_redirects=False,
        ) as response:
            await answer.relay(response)

    def _upstream_failed(
        self, error: aiohttp.ClientError, body: ClientBody, answer: Answer
    ) -> None:
        if answer.started:
            _log.warning("upstream_cut", reason=repr(error))
        elif body.error is not None:
            raise body.error
        else:
            _log.warning("upstream_failed", reason=repr(error))
            how = "see that it runs, and that BERTH_CONTROL_PLANE_URL is right"
            raise DependencyUnavailable("control_plane", how, retry_after=1) from error

    async def _ended(self, patience: Patience, answer: Answer) -> None:
        if patience.ending == "stopping":
            await answer.say_bye()
        elif patience.ending == "late" and answer.started:
            _log.warning("stream_silent", seconds=self._settings.idle_seconds)
        elif patience.ending == "late":
            raise BerthError(Code.UPSTREAM_TIMEOUT, "the control plane did not answer in time")


def _hop(scope: HTTPScope, caller: Caller) -> Hop:
    client = scope["client"]
    return Hop(
        identity=caller.identity,
        client=client[0] if client else "unknown",
        host=Headers.from_scope(scope).get("host", ""),
        scheme=scope["scheme"],
        request_id=scope["state"]["request_id"],
        traceparent=traceparent(),
    )
