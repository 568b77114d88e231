"""One exchange with a git host. It is dialled at the addresses that were looked at; nothing is
followed, kept or unpacked, and no connection is used twice.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from chassis.addresses import is_global
from chassis.errors import BerthError, DependencyUnavailable
from chassis.logs import get_logger
from contracts.errors import Code
from control_plane.domain.git_hosts import HTTP_PORT, HTTPS_PORT, GitHosts, Place
from control_plane.domain.git_requests import GitAsk, Lines, Refused
from control_plane.domain.model_hosts import Origin
from control_plane.services.model_provider import CONNECT_SECONDS, ProviderAnswer, trusted

Resolve = Callable[[str, int], Awaitable[list[str]]]

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    ask: GitAsk
    headers: Lines
    body: AsyncIterator[bytes] | None
    """To be sent once. None: there is none."""


class GitRemote:
    """`silence` in seconds: between two parts of an answer, and before its first."""

    def __init__(self, hosts: GitHosts, *, silence: float, resolve: Resolve | None = None) -> None:
        self._hosts = hosts
        self._silence = silence
        self._resolve = resolve or _resolved
        # a connection to an address is of the host that it was made for, and of no other one
        self._transport = httpx.AsyncHTTPTransport(
            verify=trusted(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    def place(self, host: str) -> Place:
        return self._hosts.place(host)

    @asynccontextmanager
    async def asked(self, question: Question) -> AsyncGenerator[ProviderAnswer]:
        """Raises `Refused`, `dependency_unavailable`, `upstream_timeout`; leaving it closes the
        connection of an answer that is not over.
        """
        host = question.ask.host
        place = self._hosts.place(host)
        addresses = await self._addresses(host, place)
        response = await self._sent(question, place.origin, addresses)
        try:
            yield ProviderAnswer(response)
        finally:
            await response.aclose()

    async def _addresses(self, host: str, place: Place) -> list[str]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._resolve(place.origin.host, place.origin.port)
        except (OSError, UnicodeError) as error:  # TimeoutError is one of them
            how = f"its name leads to no address ({type(error).__name__}): see that it is right"
            raise DependencyUnavailable(_name(host), how, retry_after=1) from None
        if not found or not (place.anywhere or all(is_global(address) for address in found)):
            words = f"{host} leads to an address that is none of the internet's"
            raise Refused("address", words)
        return list(dict.fromkeys(found))

    async def _sent(
        self, question: Question, origin: Origin, addresses: list[str]
    ) -> httpx.Response:
        """At the first address that accepts a connection: nothing was sent to the others."""
        host = question.ask.host
        try:
            for address in addresses[:-1]:
                try:
                    return await self._at(question, origin, address)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    self._failed(host, error)
            return await self._at(question, origin, addresses[-1])
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._failed(host, error)
            how = "it accepts no connection that is trusted: try again, and see that it runs"
            raise DependencyUnavailable(_name(host), how, retry_after=1) from None
        except httpx.TimeoutException as error:
            self._failed(host, error)
            detail = f"{_name(host)} did not answer within {self._silence:g} s"
            raise BerthError(Code.UPSTREAM_TIMEOUT, detail) from None
        except httpx.TransportError as error:
            self._failed(host, error)
            how = "it ended the connection: try again"
            raise DependencyUnavailable(_name(host), how, retry_after=1) from None

    async def _at(self, question: Question, origin: Origin, address: str) -> httpx.Response:
        shown = f"[{address}]" if ":" in address else address
        usual = origin.port == (HTTPS_PORT if origin.scheme == "https" else HTTP_PORT)
        named = origin.host if usual else f"{origin.host}:{origin.port}"
        request = httpx.Request(
            question.ask.method,
            f"{origin.scheme}://{shown}:{origin.port}{question.ask.target}",
            headers=[("host", named), *question.headers],
            content=None if question.body is None else _Body(question.body),
            extensions={"timeout": self._timeout(), "sni_hostname": origin.host},
        )
        return await self._transport.handle_async_request(request)

    def _timeout(self) -> dict[str, float | None]:
        return {
            "connect": CONNECT_SECONDS,
            "read": self._silence,
            "write": self._silence,
            "pool": None,
        }

    def _failed(self, host: str, error: Exception) -> None:
        # never its text: some hold the request's headers
        _log.warning("git_host_failed", host=host, error=type(error).__name__)


class _Body(httpx.AsyncByteStream):
    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part


async def _resolved(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for _, _, _, _, place in found]


def _name(host: str) -> str:
    return f"the git host {host}"
