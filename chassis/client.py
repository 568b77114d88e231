"""`chassis.calls` over httpx, to a port or a Unix socket."""

import httpx

from chassis.calls import ATTEMPTS, Calls, Incoming, Outgoing, Unreachable, Unreadable
from chassis.clock import Clock

CONNECT_SECONDS = 3.0
KEEP_IDLE_SECONDS = 20.0
"""Less than a server keeps an idle connection (`chassis.server`), or calls meet its end."""
ANSWER_BYTES = 32 * 1024 * 1024
"""Whoever answers may be a session's: its answer must not fill our memory."""


class ServiceClient(Calls):
    def __init__(
        self,
        base_url: str,
        *,
        uds: str | None = None,
        key: str | None = None,
        target: str,
        clock: Clock | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        transport = _Httpx(base_url, uds)
        super().__init__(transport, key=key, target=target, clock=clock, attempts=attempts)


class _Httpx:
    def __init__(self, base_url: str, uds: str | None) -> None:
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEP_IDLE_SECONDS)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            # reading the authorities takes longer than a container's start, and plain HTTP has none
            transport=httpx.AsyncHTTPTransport(
                uds=uds, limits=limits, verify=base_url.startswith("https:")
            ),
            trust_env=False,  # a proxy from the environment must never see these calls
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            headers={"accept-encoding": "identity"},
        )

    async def exchange(self, request: Outgoing) -> Incoming:
        """Raises `Unreachable`, `Unreadable`, `TimeoutError`."""
        try:
            async with self._http.stream(
                request.method, request.path, headers=request.headers, content=request.content
            ) as answer:
                content = await _content(answer)
        except httpx.ConnectTimeout as error:  # nothing was sent yet
            raise Unreachable(repr(error)) from error
        except httpx.TimeoutException as error:
            raise TimeoutError(repr(error)) from error
        except httpx.TransportError as error:
            raise Unreachable(repr(error)) from error
        return Incoming(status=answer.status_code, headers=answer.headers, content=content)

    async def aclose(self) -> None:
        await self._http.aclose()


async def _content(answer: httpx.Response) -> bytes:
    """As it came: unpacked, a few bytes can be any number."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unreadable("the answer is packed, and nobody asked for that")
    content = bytearray()
    async for chunk in answer.aiter_raw():
        content += chunk
        if len(content) > ANSWER_BYTES:
            raise Unreadable(f"the answer has more than {ANSWER_BYTES} bytes")
    return bytes(content)
