"""A relay in this process, with names of its own, and a TLS server that keeps what reached it."""

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec

import executor.agents.loopback
from chassis.ids import new_id
from contracts.egress import EgressHost
from contracts.relay import NamedUpstream, RelayPolicy, RelayRoutes, Tunnels
from executor_manager.relay.named import named_upstreams
from executor_manager.relay.settings import Settings
from executor_manager.relay.tunnel.addresses import Address
from executor_manager.relay.tunnel.resolving import Resolver
from executor_manager.relay.tunnel.tunnels import TunnelFrame
from executor_manager.relay.upstreams import Upstreams
from executor_manager.relay.workers import Workers
from tests.executor_manager.relay.certificates import authority_and_server

HOST = "files.example.org"
OWN = "127.0.0.0/8"
TOKEN = "bwt_canary-token-of-a-worker-in-here"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class NameServer:
    """Answers in turn; the last one again and again. Each question is kept."""

    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str) -> list[Address]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(text) for text in answer]


@dataclass
class TlsServer:
    """Echoes, after TLS; and keeps every byte that came in before."""

    folder: Path
    host: str = HOST
    address: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    raw: bool = False
    """Without TLS: what comes in is kept as it is."""
    received: bytearray = field(default_factory=bytearray)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self.authority, chain = authority_and_server(self.folder, self.host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.server = await asyncio.start_server(
            self._serve, self.address, self.port, ssl=None if self.raw else context
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    async def until_received(self, size: int) -> None:
        async with asyncio.timeout(30):
            while len(self.received) < size:
                self.arrived.clear()
                await self.arrived.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                self.received += part
                self.arrived.set()
                if not self.raw:
                    writer.write(part)
                    await writer.drain()
            writer.close()


@dataclass
class InProcess:
    folder: Path
    names: NameServer
    workers: Workers
    upstreams: Upstreams

    async def bind(self, policy: RelayPolicy) -> "Agent":
        await self.workers.put(policy)
        return Agent(self, policy, Path(policy.agent_dir) / "agent.sock")

    async def bind_tunnels(
        self, *hosts: EgressHost, mib_per_hour: int = 64, connections: int = 8
    ) -> "Agent":
        tunnels = Tunnels(hosts=list(hosts), mib_per_hour=mib_per_hour, connections=connections)
        return await self.bind(self.policy(tunnels=tunnels))

    async def bind_upstreams(self, *upstreams: NamedUpstream) -> "Agent":
        return await self.bind(self.policy(upstreams=list(upstreams)))

    def policy(self, worker_id: UUID | None = None, **fields: Any) -> RelayPolicy:
        worker_id = worker_id or new_id()
        place = self.folder / str(worker_id)[-6:]
        for name, mode in (("control", 0o700), ("agent", 0o750)):
            (place / name).mkdir(mode=mode, parents=True, exist_ok=True)
        return RelayPolicy(
            worker_id=worker_id,
            epoch=1,
            control_dir=str(place / "control"),
            agent_dir=str(place / "agent"),
            token=TOKEN,
            **fields,
        )


@asynccontextmanager
async def relay_in_process(
    folder: Path, *networks: str, control_plane_url: str = "", **settings: Any
) -> AsyncGenerator[InProcess]:
    known = Settings(relay_dir=folder, **{"relay_denials_seconds": 0.02, **settings})
    names = NameServer()
    resolver = Resolver(names)
    frame = TunnelFrame(resolver, known, [ip_network(text) for text in networks])
    async with AsyncExitStack() as stack:
        stack.callback(resolver.close)
        upstreams = await stack.enter_async_context(Upstreams(known))
        if control_plane_url:
            upstreams.routes = RelayRoutes(
                control_plane_url=control_plane_url, object_store_url=control_plane_url
            )
        named = await stack.enter_async_context(named_upstreams(known))
        workers = Workers(
            boot="one", settings=known, upstreams=upstreams, named=named, tunnels=frame
        )
        stack.push_async_callback(workers.close)
        yield InProcess(folder, names, workers, upstreams)


@dataclass
class Agent:
    relay: InProcess
    policy: RelayPolicy
    path: Path

    async def change(self, **fields: Any) -> None:
        self.policy = msgspec.structs.replace(self.policy, **fields)
        await self.relay.workers.put(self.policy)

    async def open(self) -> Connection:
        return await asyncio.open_unix_connection(str(self.path))

    async def send(self, request: bytes) -> bytes:
        reader, writer = await self.open()
        writer.write(request)
        try:
            async with asyncio.timeout(30):
                return await reader.read()
        finally:
            writer.close()

    async def connect(self, target: str, headers: str = "") -> tuple[bytes, Connection]:
        """The head of the answer, and the connection."""
        reader, writer = await self.open()
        writer.write(f"CONNECT {target} HTTP/1.1\r\n{headers}\r\n".encode("latin-1"))
        async with asyncio.timeout(30):
            return await reader.readuntil(b"\r\n\r\n"), (reader, writer)

    async def tunnel(self, server: TlsServer, host: str = HOST) -> Connection:
        """TLS through a tunnel, the certificate verified."""
        head, (reader, writer) = await self.connect(f"{host}:{server.port}")
        assert head.startswith(b"HTTP/1.1 200 "), head
        async with asyncio.timeout(30):
            await writer.start_tls(server.client(), server_hostname=host)
        return reader, writer

    async def say(self, target: str, first: bytes) -> bytes:
        """All that comes back after the tunnel is there, when these are its first bytes."""
        head, (reader, writer) = await self.connect(target)
        assert head.startswith(b"HTTP/1.1 200 "), head
        writer.write(first)
        try:
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def loopback(path: Path) -> AsyncGenerator[int]:
    """The pipe of a session's own, to an agent's socket; its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", executor.agents.loopback.__file__, "0", str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield int(line.split()[1])
    finally:
        process.terminate()
        await process.wait()


async def echoed(connection: Connection, text: bytes) -> bytes:
    reader, writer = connection
    writer.write(text)
    async with asyncio.timeout(30):
        return await reader.readexactly(len(text))


async def ended(reader: asyncio.StreamReader) -> bool:
    """Without another byte."""
    async with asyncio.timeout(30):
        try:
            return await reader.read() == b""
        except OSError:
            return True
