"""A package index and its file host, as plain HTTP servers that keep what they were asked."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

Headers = dict[str, str]


@dataclass
class IndexServer:
    pages: dict[str, tuple[int, Headers, bytes]] = field(default_factory=dict)
    """By path, and its query if it has one."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """When set: answers are begun, and end when it is open."""
    port: int = 0

    async def __aenter__(self) -> Self:
        self._server = web.Server(self._answer, access_log=None)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        await self._server.shutdown(0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, path: str, body: bytes, content_type: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (200, {"Content-Type": content_type, **named}, body)

    def move(self, path: str, location: str, status: int = 302) -> None:
        self.pages[path] = (status, {"Location": location}, b"")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        status, headers, body = self.pages.get(request.raw_path, (404, {}, b"nothing here"))
        if self.gate is None:
            return web.Response(status=status, headers=headers, body=body)
        answer = web.StreamResponse(status=status, headers=headers)
        await answer.prepare(request)
        half = len(body) // 2
        await answer.write(body[:half])
        await self.gate.wait()
        await answer.write(body[half:])
        return answer
