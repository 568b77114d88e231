"""Where a session's manager would be: terminals and commands that tell what came to them."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest

from chassis.ids import new_id
from contracts.errors import RENDERINGS, Code, Problem
from contracts.tickets import Ticket
from tests.fixtures.serving import serving
from tests.fixtures.upstream import KEY, Upstream

SESSION = new_id()
TTY = f"/api/v1/session-workers/{SESSION}/tty"
EXEC = f"{TTY}/exec"
GOOD = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Host:
    """ASGI: where the session's manager would be. It sends back what it gets."""

    problem: Problem | None = None
    answer: bytes = b'{"exit_code":0}'
    flood: bool = False
    deaf: bool = False
    close: tuple[int, str] | None = None
    silent: bool = False
    """It does not even accept, or answer."""
    seen: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    got: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    left_with: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        target = f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        if scope["type"] == "http":
            body = (await receive())["body"]
            self.seen.append({"target": target, "headers": headers, "body": body})
            if self.silent:
                await receive()
                self.left.set()
                return
            status = 200 if self.problem is None else self.problem.status
            content = self.answer if self.problem is None else msgspec.json.encode(self.problem)
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": content, "more_body": False})
            return
        self.seen.append({"target": target, "headers": headers})
        await self._socket(receive, send)

    async def _socket(self, receive: Any, send: Any) -> None:
        await receive()
        if self.silent:
            await receive()
            self.left.set()
            return
        if self.problem is not None:
            start = {"status": self.problem.status, "headers": []}
            await send({"type": "websocket.http.response.start", **start})
            body = msgspec.json.encode(self.problem)
            await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
            return
        await send({"type": "websocket.accept"})
        if self.close is not None:
            code, reason = self.close
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        await self._talk(receive, send)

    async def _talk(self, receive: Any, send: Any) -> None:
        flooding = asyncio.create_task(self._flood(send)) if self.flood else None
        if self.deaf:
            await self.left.wait()
            return
        while (message := await receive())["type"] == "websocket.receive":
            content = message.get("bytes")
            self.got += len(content or b"")
            if not self.flood and content is not None and len(content) < 1000:
                await send({"type": "websocket.send", "bytes": content})
            elif content is None and message["text"]:
                await send({"type": "websocket.send", "text": message["text"]})
        self.left_with = message.get("code", 0)
        self.left.set()
        if flooding is not None:
            flooding.cancel()

    async def _flood(self, send: Any) -> None:
        while True:
            await send({"type": "websocket.send", "bytes": b"y\r\n" * 10_000})
            self.sent += 30_000


def problem(code: Code) -> Problem:
    rendering = RENDERINGS[code]
    return Problem(title=rendering.title, status=rendering.status, code=code, detail="so it is")


@pytest.fixture
async def host(upstream: Upstream) -> AsyncGenerator[Host]:
    host = Host()
    async with serving(host, graceful_seconds=0) as url:
        upstream.ticket = Ticket(
            ticket="btk_one", worker_id=new_id(), manager_url=f"{url}/", expires_in_seconds=60
        )
        yield host
        host.left.set()


@pytest.fixture
def url(http: aiohttp.ClientSession) -> str:
    return str(http._base_url).rstrip("/") + TTY
