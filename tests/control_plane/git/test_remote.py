"""Where a git host is dialled: at the addresses that were looked at, by the name that was asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chassis.errors import BerthError, DependencyUnavailable
from contracts.errors import Code
from control_plane.domain.git_hosts import GitHosts
from control_plane.domain.git_requests import Refused, parsed
from control_plane.services.git_remote import GitRemote, Question, Resolve
from tests.executor_manager.relay.certificates import authority_and_server

NAME = "git.example.test"
ASK = parsed("GET", f"/{NAME}/a/b.git/info/refs", b"service=git-upload-pack")
QUESTION = Question(ask=ASK, headers=[("accept", "*/*")], body=None)


def resolving(*addresses: str) -> Resolve:
    """Another one than the machine's: no name of the tests' own is known to it."""

    async def resolve(host: str, port: int) -> list[str]:
        assert host == NAME
        assert port
        return list(addresses)

    return resolve


@contextlib.asynccontextmanager
async def a_remote(
    resolve: Resolve, *hosts: str, silence: float = 60.0
) -> AsyncGenerator[GitRemote]:
    remote = GitRemote(GitHosts(hosts), silence=silence, resolve=resolve)
    try:
        yield remote
    finally:
        await remote.aclose()


class Server:
    def __init__(self) -> None:
        self.connections = 0
        self.heads: list[str] = []
        self.names: list[str | None] = []

    @contextlib.asynccontextmanager
    async def running(self, certificate: Path | None = None) -> AsyncGenerator[int]:
        context = None
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        kind = f"Content-Type: {ASK.media_type}\r\n"
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                writer.write(f"HTTP/1.1 200 OK\r\n{kind}Content-Length: 4\r\n\r\n0000".encode())
                await writer.drain()
        writer.close()


OWN = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "fd00::1",
]


@pytest.mark.parametrize("address", OWN)
async def test_address__of_a_network_of_ones_own_is_never_dialled(address: str) -> None:
    """One among many is enough: the next look may give another order."""
    async with a_remote(resolving("140.82.112.3", address)) as remote:
        with pytest.raises(Refused, match=r"address: git\.example\.test leads to an address"):
            async with remote.asked(QUESTION):
                pass


async def test_address__that_the_administrator_names_may_be_any() -> None:
    server = Server()
    async with (
        server.running() as port,
        a_remote(resolving("127.0.0.1"), f"http://{NAME}:{port}") as remote,
        remote.asked(QUESTION) as answer,
    ):
        assert answer.status == 200
    (head,) = server.heads
    assert head.startswith("GET /a/b.git/info/refs?service=git-upload-pack HTTP/1.1\r\n")
    assert f"\r\nHost: {NAME}:{port}\r\n".lower() in head.lower()


async def test_addresses__are_tried_in_turn() -> None:
    server = Server()
    async with (
        server.running() as port,
        a_remote(resolving("127.0.0.9", "127.0.0.1"), f"http://{NAME}:{port}") as remote,
        remote.asked(QUESTION) as answer,
    ):
        assert answer.status == 200
    assert server.connections == 1


async def test_certificate__is_checked_against_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name in ((tmp_path / "right", NAME), (tmp_path / "wrong", "other.example.test")):
        folder.mkdir()
        authority, certificate = authority_and_server(folder, name)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        server = Server()
        async with (
            server.running(certificate) as port,
            a_remote(resolving("127.0.0.1"), f"https://{NAME}:{port}") as remote,
        ):
            if name == NAME:
                async with remote.asked(QUESTION) as answer:
                    assert answer.status == 200
            else:
                with pytest.raises(DependencyUnavailable):
                    async with remote.asked(QUESTION):
                        pass
                assert server.heads == []
        assert server.names == [NAME]


async def test_connection__is_used_once() -> None:
    server = Server()
    async with (
        server.running() as port,
        a_remote(resolving("127.0.0.1"), f"http://{NAME}:{port}") as remote,
    ):
        for _ in range(2):
            async with remote.asked(QUESTION) as answer:
                assert [part async for part in answer.parts()] == [b"0000"]
    assert server.connections == 2


async def test_name__that_leads_nowhere() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port}")

    for resolve in (unknown, resolving()):
        async with a_remote(resolve) as remote:
            with pytest.raises((DependencyUnavailable, Refused)):
                async with remote.asked(QUESTION):
                    pass


async def test_host__that_is_away_or_silent() -> None:
    async with a_remote(resolving("127.0.0.1"), f"http://{NAME}:9") as remote:
        with pytest.raises(DependencyUnavailable) as away:
            async with remote.asked(QUESTION):
                pass
        assert "accepts no connection" in away.value.details["missing"][0]["how"]

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    origin = f"http://{NAME}:{server.sockets[0].getsockname()[1]}"
    async with server, a_remote(resolving("127.0.0.1"), origin, silence=0.2) as remote:
        with pytest.raises(BerthError) as late:
            async with remote.asked(QUESTION):
                pass
        assert late.value.code is Code.UPSTREAM_TIMEOUT
