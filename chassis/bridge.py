"""A WebSocket that passes through: ASGI on the near side, a connection of ours on the far one.

Messages cross as they come, one at a time in each direction: who does not take holds up who sends,
and is given up after a while. Either side's end is told to the other with its code and reason.
"""

import asyncio
from collections.abc import Awaitable

import msgspec
from litestar.types import Receive, Send

from chassis.duplex import Closed, Duplex
from chassis.errors import BerthError
from chassis.rendering import MEDIA_TYPE, headers_of, problem_of

SEND_SECONDS = 30.0
"""For one message to be taken, in either direction."""

NORMAL = 1000
NO_CODE = 1005
ABNORMAL = 1006
BROKEN = 1011
SLOW = 4408


class Ending(msgspec.Struct, frozen=True):
    code: int
    reason: str = ""


class Bridge:
    """Of a WebSocket that was accepted."""

    def __init__(self, receive: Receive, send: Send, far: Duplex) -> None:
        self._receive = receive
        self._send = send
        self._far = far
        self._near_gone = False

    async def run(self, *watches: Awaitable[Ending]) -> Ending:
        """Until one side has ended, or one of `watches` says how it ends; both are told."""
        ways = [self._outwards(), self._inwards(), *watches]
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        ending = _ending_of(next(task for task in tasks if task in done))
        if not self._near_gone:
            await self._close_near(ending)
        await self._far.close(_told(ending.code), ending.reason)
        return ending

    async def _outwards(self) -> Ending:
        """From the near side to the far one."""
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self._near_gone = True
                return Ending(NORMAL, "the client left")
            text, content = message.get("text"), message.get("bytes")
            try:
                await self._far.send(
                    text if text is not None else content or b"", within=SEND_SECONDS
                )
            except Closed as closed:
                return _far_ending(closed)
            except TimeoutError:
                return Ending(BROKEN, "what was sent is not taken")

    async def _inwards(self) -> Ending:
        while True:
            try:
                content = await self._far.receive()
            except Closed as closed:
                return _far_ending(closed)
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send(
                        {"type": "websocket.send", "bytes": None, "text": content}
                        if isinstance(content, str)
                        else {"type": "websocket.send", "bytes": content, "text": None}
                    )
            except TimeoutError:
                return Ending(SLOW, "what was written is not taken")
            except (OSError, RuntimeError):
                # a server that has closed it by itself takes nothing more
                self._near_gone = True
                return Ending(NORMAL, "the client left")

    async def _close_near(self, ending: Ending) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._send(
                    {
                        "type": "websocket.close",
                        "code": _told(ending.code),
                        "reason": ending.reason.encode()[:123].decode(errors="ignore"),
                    }
                )
        except (OSError, TimeoutError, RuntimeError):
            # it is gone already, or takes nothing: the server then drops the connection
            return


async def refuse(send: Send, error: BerthError) -> None:
    """Instead of accepting: the handshake is answered with a problem."""
    problem = problem_of(error)
    body = msgspec.json.encode(problem)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **{name.lower(): value for name, value in headers_of(error).items()},
    }
    await send(
        {
            "type": "websocket.http.response.start",
            "status": problem.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


def _ending_of(task: asyncio.Future[Ending]) -> Ending:
    """Raises what nobody expected."""
    return task.result()


def _far_ending(closed: Closed) -> Ending:
    if closed.code in {NO_CODE, ABNORMAL}:
        return Ending(BROKEN, "the connection to the terminal was cut")
    return Ending(closed.code, closed.reason)


def _told(code: int) -> int:
    return NORMAL if code in {NO_CODE, ABNORMAL} else code
