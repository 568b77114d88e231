"""The bytes of one file of the workspace: the one route that moves no JSON."""

import time
from collections.abc import Awaitable, Callable

from contracts.executors import WORKSPACE_FILE
from executor.http_routes import Answer, Request, Route, Stream
from executor.services.files import OpenedFile


def file_routes(read: Callable[[str], Awaitable[OpenedFile]]) -> list[Route]:
    async def handle(request: Request) -> Answer:
        found = await read(request.parameter("path"))
        headers = {"content-type": "application/octet-stream", **_modified(found.mtime)}
        return Answer(headers=headers, body=Stream(size=found.size, chunks=found.chunks))

    return [Route(method="GET", path=WORKSPACE_FILE, handle=handle)]


def _modified(seconds: float) -> dict[str, str]:
    """Nothing for a time that no date can hold: whoever owns a file may set any."""
    try:
        moment = time.gmtime(seconds)
    except (OverflowError, OSError, ValueError):
        return {}
    if not 1970 <= moment.tm_year <= 9999:
        return {}
    return {"last-modified": time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)}
