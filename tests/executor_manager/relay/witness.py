"""An upstream of agents that speaks raw bytes and keeps all that reached it; agents' sockets."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec
import pytest

from contracts.relay import RELAY_STREAMS, AskStreams, Credential, NamedUpstream, RelayStreams
from tests.executor_manager.relays import Bound, Relay

SECRET = "sk-canary-of-the-upstream-7f3a"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nwhole"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
FIRST = b"6\r\nfirst \r\n"
LAST = b"4\r\nlast\r\n0\r\n\r\n"


@dataclass
class Request:
    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name]


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


async def whole(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


@dataclass
class Witness:
    answer: Answer = whole
    seen: list[Request] = field(default_factory=list)
    port: int = 0
    tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def start(self) -> None:
        self.server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=2**20
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    def named(self, *paths: str, name: str = "models", base: str = "") -> NamedUpstream:
        scheme = "https" if self.tls else "http"
        return NamedUpstream(
            name=name,
            url=f"{scheme}://localhost:{self.port}{base}",
            methods=["GET", "HEAD", "POST"],
            paths=list(paths) or ["/v1/messages", "/v1/files/"],
            credential=Credential(name="key"),
        )

    def as_worker(self) -> NamedUpstream:
        return NamedUpstream(
            name="models",
            url=f"http://localhost:{self.port}/worker/models",
            methods=["GET", "POST"],
            paths=["/v1/"],
            as_worker=True,
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.seen.append(request)
            await self.answer(request, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # it was cut, which is what tests look at
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in head[1:-2])]
    request = Request(head[0], headers, b"")
    if request.all("transfer-encoding"):
        while size := int(await reader.readline(), 16):
            request.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif length := request.all("content-length"):
        request.body = await reader.readexactly(int(length[0]))
    return request


def hasty(**seconds: str) -> pytest.MarkDecorator:
    """Deadlines of the relay that are to strike in a test, without RELAY_ and _SECONDS."""
    settings = {f"RELAY_{name}_SECONDS": value for name, value in seconds.items()}
    return pytest.mark.parametrize("agents_relay", [settings], indirect=True, ids=["hasty"])


def keep_secret(relay: Relay, value: str = SECRET) -> None:
    folder = relay.directory.parent / "credentials"
    folder.mkdir(exist_ok=True)
    (folder / "key").write_text(f"{value}\n")


async def bind_agent(
    relay: Relay, *upstreams: NamedUpstream, worker_id: UUID | None = None
) -> "Session":
    control = await relay.bind(worker_id, upstreams=list(upstreams))
    path = control.path.parent.parent / "agent" / "agent.sock"
    return Session(control, Bound(control.worker_id, path))


@dataclass
class Session:
    control: Bound
    agent: Bound

    async def streams(self, after: int = 0) -> RelayStreams:
        asked = msgspec.json.encode(AskStreams(after=after))
        answer = await self.control.ask(RELAY_STREAMS.path, body=asked)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        return msgspec.json.decode(body, type=RelayStreams)

    async def until_open(self, count: int) -> RelayStreams:
        while (told := await self.streams()).open != count:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)
        return told

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.agent.path))


def post(target: str, body: bytes = b"{}") -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:8119\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def everything_about(pid: int) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
