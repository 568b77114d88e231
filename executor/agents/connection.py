"""The protocol's connection to one agent, on raw messages.

The SDK does the JSON-RPC: ids, answers, errors. Its typed layer is left out, because it drops
updates, content and enum values that it does not know, fails a turn whose stop reason is new to it,
and starts a task per notification, which loses their order. Our transport stands below it: it sees
every message first, keeps notifications for itself, and gives them on in the order they came.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from acp.connection import Connection
from acp.exceptions import RequestError

from executor.agents.errors import ConnectionLost, RpcFailure
from executor.agents.process import BoundedFile

log = logging.getLogger(__name__)

Message = dict[str, Any]
LINE_LIMIT = 64 * 1024 * 1024
"""Bytes; a longer message is dropped and told."""
REQUEST_CANCELLED = -32800
UNREAD = 1000
"""Messages that wait to be handled; from there on the agent has to wait with its next."""
UNREAD_PAUSE = 0.01


class RequestWithdrawn(Exception):
    """The agent took its request back, or its turn is over."""


class _Stdio:
    """The SDK's `Transport`: newline-delimited JSON over the agent's pipes."""

    def __init__(
        self,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        observe: Callable[[Message], bool],
        record: Callable[[bytes], None],
        unread: Callable[[], int],
    ) -> None:
        """`observe` sees each message in order; what it returns False for goes no further.
        `record` gets every line of both directions as it stands on the wire.
        """
        self._reader = reader
        self._writer = writer
        self._observe = observe
        self._record = record
        self._unread = unread
        self._sending = asyncio.Lock()

    async def send(self, message: Message) -> None:
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        async with self._sending:
            self._record(line)
            try:
                self._writer.write(line)
                await self._writer.drain()
            except OSError as error:
                raise ConnectionError(str(error)) from error

    async def receive(self) -> Message | None:
        while (line := await self._line()) is not None:
            while self._unread() >= UNREAD:  # noqa: ASYNC110 - rare, and no event to keep right
                await asyncio.sleep(UNREAD_PAUSE)
            self._record(line)
            try:
                message: object = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                log.warning("the agent sent a line that is not JSON: %s", error)
                continue
            if isinstance(message, dict) and self._observe(cast("Message", message)):
                return _for_handler(cast("Message", message))
        return None

    async def close(self) -> None:
        self._writer.close()

    async def _line(self) -> bytes | None:
        """The next line of any length up to the limit; None at the end."""
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                part = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as overrun:
                part = await self._reader.readexactly(overrun.consumed)
            except (asyncio.IncompleteReadError, OSError):
                return None
            size += len(part)
            if size <= LINE_LIMIT:
                parts.append(part)
            if part.endswith(b"\n"):
                break
        if size > LINE_LIMIT:
            log.warning("the agent sent a message of %d bytes: dropped", size)
            return b""
        return b"".join(parts)


def _for_handler(message: Message) -> Message:
    """The SDK hides a request's id from its handler; the agent names it when it takes it back."""
    return {**message, "params": message} if "method" in message else message


Notified = Callable[[str, Message], None]
Serve = Callable[[str, str, Message], Awaitable[Message]]


class AgentConnection:
    def __init__(
        self,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        notified: Notified,
        serve: Serve,
        unread: Callable[[], int] = lambda: 0,
        wire_log: BoundedFile | None = None,
    ) -> None:
        """`notified(method, params)` is called in order and may only enqueue; `unread()` says how
        much of that is not handled yet, so that nobody can fill our memory;
        `serve(request_id, method, params)` answers the agent's requests, or raises
        `RequestWithdrawn`, or `KeyError` for a method it does not have.
        """
        self.last_heard = asyncio.get_running_loop().time()
        self._notified = notified
        self._serve = serve
        self._wire_log = wire_log
        stdio = _Stdio(
            reader=reader,
            writer=writer,
            observe=self._observe,
            record=self._record,
            unread=unread,
        )
        self._connection = Connection(self._handle, stdio)

    async def request(
        self, method: str, params: Message, *, within: float | None = None
    ) -> Message:
        """The raw result. Raises `RpcFailure`, `ConnectionLost`, TimeoutError after `within` s."""
        try:
            async with asyncio.timeout(within):
                result = await self._connection.send_request(method, params)
        except RequestError as error:
            raise RpcFailure(
                method=method, code=error.code, message=str(error), data=error.data
            ) from error
        except ConnectionError as error:
            raise ConnectionLost from error
        return cast("Message", result) if isinstance(result, dict) else {}

    async def notify(self, method: str, params: Message) -> None:
        try:
            await self._connection.send_notification(method, params)
        except ConnectionError as error:
            raise ConnectionLost from error

    async def close(self) -> None:
        await self._connection.close()
        if self._wire_log is not None:
            self._wire_log.close()

    def _observe(self, message: Message) -> bool:
        self.last_heard = asyncio.get_running_loop().time()
        if "method" in message and "id" not in message:
            self._notified(str(message["method"]), _params(message))
            return False
        return True

    def _record(self, line: bytes) -> None:
        if self._wire_log is not None:
            self._wire_log.write(line)

    async def _handle(self, method: str, params: object, _is_notification: bool) -> Message:  # noqa: FBT001 - the SDK's signature
        message = cast("Message", params)
        try:
            return await self._serve(request_key(message["id"]), method, _params(message))
        except KeyError as error:
            raise RequestError.method_not_found(method) from error
        except RequestWithdrawn as error:
            raise RequestError(REQUEST_CANCELLED, "Request cancelled") from error


def request_key(request_id: object) -> str:
    """A JSON-RPC id is a number or a string, and 1 is not "1"."""
    return json.dumps(request_id)


def _params(message: Message) -> Message:
    params = message.get("params")
    return cast("Message", params) if isinstance(params, dict) else {}
