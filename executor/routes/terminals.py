"""Terminals, each connection a WebSocket, and commands without one."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.terminals import EXECUTOR_EXEC, EXECUTOR_TTY, ExecCommand, Executed
from executor.http_routes import Answer, Request, Route, typed
from executor.services.terminals import AskedTerminal, Talk


def terminal_routes(
    attach: Callable[[AskedTerminal], Awaitable[Talk]],
    run: Callable[[ExecCommand], Awaitable[Executed]],
) -> list[Route]:
    async def handle(request: Request) -> Answer:
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise BerthError(Code.VALIDATION, "a terminal is a WebSocket: send Upgrade: websocket")
        return Answer(status=101, talk=await attach(_asked(request.query)))

    command = typed(EXECUTOR_EXEC, run)
    return [
        Route(method="GET", path=EXECUTOR_TTY, handle=handle),
        msgspec.structs.replace(command, handle=_unless_left(command.handle)),
    ]


def _unless_left(
    handle: Callable[[Request], Awaitable[Answer]],
) -> Callable[..., Awaitable[Answer]]:
    """A command that nobody waits for any more is ended."""

    async def watched(request: Request) -> Answer:
        if request.left is None:
            return await handle(request)
        running = asyncio.ensure_future(handle(request))
        leaving = asyncio.ensure_future(request.left())
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            raise BerthError(Code.CONFLICT, "nobody waits for it any more")
        finally:
            for task in (running, leaving):
                task.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)

    return watched


def _asked(query: str) -> AskedTerminal:
    fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=8))
    try:
        return msgspec.convert(fields, AskedTerminal, strict=False)
    except msgspec.ValidationError as error:
        # of msgspec: "Expected ... - at `$.columns`"
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`") or "query"
        raise BerthError(
            Code.VALIDATION,
            f"{field}: {what}",
            field=field,
            expected=what.removeprefix("Expected "),
        ) from error
