"""One HTTP exchange with a provider: nothing is followed, kept or unpacked."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import certifi
import httpx

from chassis.errors import BerthError, DependencyUnavailable
from chassis.logs import get_logger
from contracts.errors import Code
from control_plane.domain.model_requests import Lines

CONNECT_SECONDS = 10.0
KEEP_IDLE_SECONDS = 2.0
"""Many servers close idle connections after 5 s: ours are gone before."""
PIECE = 64 * 1024

_log = get_logger()


class AnswerCut(Exception):
    """The rest of the answer will not come."""


class ProviderAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers.multi_items()
        content_type: str = response.headers.get("content-type", "")
        self.content_type = content_type.partition(";")[0].strip().lower()
        self.packed = response.headers.get("content-encoding", "identity") != "identity"
        self.request_id: str = response.headers.get("request-id") or response.headers.get(
            "x-request-id", ""
        )
        self._response = response

    async def parts(self) -> AsyncGenerator[bytes]:
        """Each is read when it is asked for: who reads slowly slows the provider. Raises
        `AnswerCut`.
        """
        try:
            async for part in self._response.aiter_raw():
                yield part
        except httpx.TimeoutException as error:
            raise AnswerCut("it fell silent") from error
        except httpx.TransportError as error:
            raise AnswerCut(type(error).__name__) from error


class Provider:
    """`silence` in seconds: between two parts of an answer, and before its first."""

    def __init__(self, *, silence: float) -> None:
        self._silence = silence
        # the transport alone: a client would keep cookies, and send one project's to another
        self._transport = httpx.AsyncHTTPTransport(
            verify=trusted(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_IDLE_SECONDS),
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    @asynccontextmanager
    async def asked(
        self, name: str, url: str, headers: Lines, content: "Content"
    ) -> AsyncGenerator[ProviderAnswer]:
        """Raises `dependency_unavailable`, `upstream_timeout`; leaving it closes the connection
        of an answer that is not over.
        """
        request = httpx.Request(
            "POST",
            url,
            headers=[*headers, ("content-length", str(content.size))],
            content=content,
            extensions={"timeout": self._timeout()},
        )
        response = await self._sent(name, request)
        try:
            yield ProviderAnswer(response)
        finally:
            await response.aclose()

    async def _sent(self, name: str, request: httpx.Request) -> httpx.Response:
        upstream = f"the upstream {name}"
        try:
            return await self._transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._failed(name, error)
            how = "it accepts no connection: try again, and see that it runs"
            raise DependencyUnavailable(upstream, how, retry_after=1) from None
        except httpx.TimeoutException as error:
            self._failed(name, error)
            detail = f"{upstream} did not answer within {self._silence:g} s"
            raise BerthError(Code.UPSTREAM_TIMEOUT, detail) from None
        except httpx.TransportError as error:
            self._failed(name, error)
            how = "it ended the connection: try again"
            raise DependencyUnavailable(upstream, how, retry_after=1) from None

    def _timeout(self) -> dict[str, float | None]:
        return {
            "connect": CONNECT_SECONDS,
            "read": self._silence,
            "write": self._silence,
            "pool": None,
        }

    def _failed(self, name: str, error: Exception) -> None:
        # never its text: some hold the request's headers
        _log.warning("model_upstream_failed", upstream=name, error=type(error).__name__)


def trusted() -> ssl.SSLContext:
    """What the host trusts, a company's own authority for instance, and what browsers do."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Content(httpx.AsyncByteStream):
    """A body that is let go as soon as it was sent: answers take minutes."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self.begun = False
        """Something of it was sent."""
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        content, self._content = self._content, b""
        for at in range(0, len(content), PIECE):
            yield content[at : at + PIECE]
