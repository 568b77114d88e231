"""JSON-RPC 2.0 over newline-delimited JSON on stdin and stdout, the framing of the Agent Client
Protocol.

Written without the protocol's SDK on purpose: the agent starts in a tenth of the time, and the
platform's client is tested against an implementation that shares no code with it.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Params = dict[str, Any]
Handler = Callable[[str, Params], Awaitable[Params]]

LINE_LIMIT = 64 * 1024 * 1024
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
RESOURCE_NOT_FOUND = -32002


class RpcError(Exception):
    """An error answer, ours or the client's."""

    def __init__(self, code: int, message: str, data: Params | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


async def stdio() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, sys.stdout.buffer
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


class Peer:
    """One connection. Requests run as tasks, so that a cancel is read during a prompt."""

    def __init__(
        self, *, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Params]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Returns when the client has closed its end."""
        while line := await self._reader.readline():
            if line.strip():
                self._receive(json.loads(line))

    async def abandon(self) -> None:
        """Cancels every request that is still being served."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, method: str, params: Params) -> Params:
        """Raises `RpcError` for an error answer. Cancelling it tells the client so."""
        request_id = next(self._ids)
        future: asyncio.Future[Params] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        await self._send({"id": request_id, "method": method, "params": params})
        try:
            return await future
        except asyncio.CancelledError:
            await self.notify("$/cancel_request", {"requestId": request_id})
            raise
        finally:
            self._pending.pop(request_id, None)

    async def notify(self, method: str, params: Params) -> None:
        await self._send({"method": method, "params": params})

    async def _send(self, message: Params) -> None:
        self._writer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        await self._writer.drain()

    def _receive(self, message: Params) -> None:
        if "method" in message:
            task = asyncio.create_task(self._serve(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        future = self._pending.get(message["id"])
        if future is None or future.done():
            return
        if "error" in message:
            error = message["error"]
            future.set_exception(RpcError(error["code"], error["message"], error.get("data")))
        else:
            future.set_result(message.get("result") or {})

    async def _serve(self, message: Params) -> None:
        try:
            result = await self._handler(message["method"], message.get("params") or {})
            answer: Params = {"result": result}
        except RpcError as error:
            answer = {"error": {"code": error.code, "message": error.message, "data": error.data}}
        except Exception as error:  # noqa: BLE001 - the top of a request: it becomes an error answer
            print(f"{message['method']}: {error!r}", file=sys.stderr)  # noqa: T201 - an agent's log
            answer = {"error": {"code": INTERNAL_ERROR, "message": repr(error)}}
        if "id" in message:
            await self._send({"id": message["id"], **answer})
