"""A relay as a real process, and an upstream that keeps what reached it."""

import asyncio
import hashlib
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

from aiohttp import web

from chassis.client import ServiceClient
from chassis.errors import CallFailed
from chassis.ids import new_id
from contracts.relay import (
    RELAY_LIST,
    RELAY_PUT,
    RELAY_ROUTES,
    NamedUpstream,
    RelayPolicy,
    RelayRoutes,
    RelayWorkers,
)
from contracts.wire import Empty

TOKEN = "bwt_canary-token-of-one-worker"


class Relay:
    def __init__(self, directory: Path, *prefix: str, **environment: str) -> None:
        """`prefix` goes before the command; `environment` without BERTH_."""
        self.directory = directory
        self.python = sys.executable
        self._prefix = prefix
        self._environment = {f"BERTH_{name}": value for name, value in environment.items()}
        self.admin_socket = directory / "a" / "admin.sock"
        self.process: asyncio.subprocess.Process | None = None
        self.admin = ServiceClient("http://relay", uds=str(self.admin_socket), target="relay")

    def trust(self, authority: Path) -> None:
        self._environment["SSL_CERT_FILE"] = str(authority)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        await self.admin.aclose()

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._prefix,
            self.python,
            "-m",
            "executor_manager.relay",
            env={
                "BERTH_RELAY_DIR": str(self.directory),
                "BERTH_RELAY_WAIT_SECONDS": "5",
                "PYTHONPATH": os.pathsep.join(sys.path),
                **self._environment,
            },
            stderr=(self.directory.parent / "relay.log").open("ab"),
        )
        await self.listing()

    async def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    async def listing(self) -> RelayWorkers:
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.admin.call(RELAY_LIST, Empty())
                except CallFailed:
                    await asyncio.sleep(0.02)

    async def route(self, url: str) -> None:
        routes = RelayRoutes(control_plane_url=url, object_store_url=url)
        await self.admin.call(RELAY_ROUTES, routes)

    async def bind(
        self,
        worker_id: UUID | None = None,
        token: str = TOKEN,
        upstreams: list[NamedUpstream] | None = None,
    ) -> "Bound":
        """With upstreams there is an agent's socket as well."""
        worker_id = worker_id or new_id()
        place = self.directory.parent / str(worker_id)[-6:]
        for name, mode in (("control", 0o700), ("agent", 0o750)):
            (place / name).mkdir(mode=mode, parents=True, exist_ok=True)
        policy = RelayPolicy(
            worker_id=worker_id,
            epoch=1,
            control_dir=str(place / "control"),
            token=token,
            agent_dir="" if upstreams is None else str(place / "agent"),
            upstreams=upstreams or [],
        )
        await self.admin.call(RELAY_PUT, policy, path={"worker_id": str(worker_id)})
        return Bound(worker_id, place / "control" / "relay.sock")

    @property
    def log(self) -> str:
        return (self.directory.parent / "relay.log").read_text()


@dataclass
class Bound:
    worker_id: UUID
    path: Path

    async def send(self, request: bytes) -> bytes:
        """Raw bytes in, raw answer out: no client library makes the request presentable."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(request)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer

    async def ask(
        self, target: str, *, method: str = "POST", headers: str = "", body: bytes = b""
    ) -> bytes:
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}"
        length = f"Content-Length: {len(body)}\r\n\r\n"
        return await self.send((head + length).encode() + body)


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    sha256: str
    size: int


@dataclass
class Upstream:
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    gate: asyncio.Event | None = None
    """When set: answers its first half, and the rest once the gate is open."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        # as uvicorn does: a body is what came in
        self._server = web.Server(self._handle, access_log=None, auto_decompress=False)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._listener.close()
        await self._server.shutdown(0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        digest, size = hashlib.sha256(), 0
        async for chunk in request.content.iter_any():
            digest.update(chunk)
            size += len(chunk)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.raw_path, headers, digest.hexdigest(), size))
        answer = web.StreamResponse(headers={"X-Trace-ID": "t", "Set-Cookie": "a=b"})
        await answer.prepare(request)
        await answer.write(b"first ")
        if self.gate is not None:
            await self.gate.wait()
        await answer.write(b"second")
        await answer.write_eof()
        return answer
