"""What is refused, and that nothing of it reaches anybody, no question of names either."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from contracts.egress import EgressHost
from tests.executor_manager.relay.hellos import (
    ENCRYPTED,
    client_hello,
    in_records,
    with_extension,
)
from tests.executor_manager.relay.tunnelling import (
    HOST,
    OWN,
    Agent,
    InProcess,
    TlsServer,
    relay_in_process,
)

ALERT = bytes.fromhex("15030300020231")
METADATA = "169.254.169.254"


@pytest.fixture
async def server(short_dir: Path) -> AsyncGenerator[TlsServer]:
    async with TlsServer(short_dir, raw=True) as server:
        yield server


@pytest.fixture
async def relay(short_dir: Path, request: pytest.FixtureRequest) -> AsyncGenerator[InProcess]:
    """Its parameter: how long a hello is waited for."""
    hello_seconds = getattr(request, "param", 60.0)
    async with relay_in_process(short_dir, OWN, relay_hello_seconds=hello_seconds) as relay:
        relay.names.answers[HOST] = [["127.0.0.1"]]
        yield relay


@pytest.fixture
async def agent(relay: InProcess, server: TlsServer) -> Agent:
    return await relay.bind_tunnels(
        EgressHost(host=HOST, port=server.port), EgressHost(host="*.example.net", port=server.port)
    )


TARGETS = [
    ("127.0.0.1:{port}", "ip_literal"),
    ("2130706433:{port}", "ip_literal"),
    ("0x7f000001:{port}", "ip_literal"),
    ("017700000001:{port}", "ip_literal"),
    ("0177.0.0.1:{port}", "ip_literal"),
    ("0x7f.0.0.1:{port}", "ip_literal"),
    ("127.1:{port}", "ip_literal"),
    ("127.0.0.1.:{port}", "ip_literal"),
    ("[::1]:{port}", "ip_literal"),
    ("[::ffff:127.0.0.1]:{port}", "ip_literal"),
    ("[::ffff:7f00:1]:{port}", "ip_literal"),
    ("[fe80::1%25eth0]:{port}", "ip_literal"),
    ("::1:{port}", "ip_literal"),
    ("user@files.example.org:{port}", "userinfo"),
    ("files.example.org@127.0.0.1:{port}", "userinfo"),
    ("files.example.org:pass@evil.org:{port}", "userinfo"),
    ("files.example.org.:{port}", "not_a_host_name"),
    ("Files.example.org:{port}", "not_a_host_name"),
    ("FILES.EXAMPLE.ORG:{port}", "not_a_host_name"),
    ("files.example.org%2e:{port}", "not_a_host_name"),
    ("files.example.org%00.evil.org:{port}", "not_a_host_name"),
    ("*.example.net:{port}", "not_a_host_name"),
    (".example.net:{port}", "not_a_host_name"),
    ("a..example.net:{port}", "not_a_host_name"),
    ("-a.example.net:{port}", "not_a_host_name"),
    ("a_b.example.net:{port}", "not_a_host_name"),
    ("localhost:{port}", "not_a_host_name"),
    ("example.1:{port}", "not_a_host_name"),
    (f"{'a.' * 130}example.net:{{port}}", "not_a_host_name"),
    (f"{'a' * 64}.example.net:{{port}}", "not_a_host_name"),
    ("files.example.org", "not_a_host_name"),
    ("https://files.example.org:{port}", "not_a_host_name"),
    ("files.example.org/:{port}", "not_a_host_name"),
    ("files.example.org:{port}:{port}", "not_a_host_name"),
    ("/models/v1/messages", "not_a_host_name"),
    ("*", "not_a_host_name"),
    ("files.example.org:", "not_a_port"),
    ("files.example.org:0", "not_a_port"),
    ("files.example.org:0{port}", "not_a_port"),
    ("files.example.org:+{port}", "not_a_port"),
    ("files.example.org:-1", "not_a_port"),
    ("files.example.org:65536", "not_a_port"),
    ("files.example.org:{port}/", "not_a_port"),
    ("files.example.org:{port}#", "not_a_port"),
    ("files.example.org:https", "not_a_port"),
    ("files.example.org:0x1bb", "not_a_port"),
    ("files.example.org:22", "port_not_allowed"),
    ("other.example.org:{port}", "host_not_allowed"),
    ("example.net:{port}", "host_not_allowed"),
    ("files.example.org.evil.net:{port}", "host_not_allowed"),
]


async def test_targets__are_read_once_and_strictly(agent: Agent, server: TlsServer) -> None:
    wrong: list[str] = []
    for pattern, rule in TARGETS:
        target = pattern.format(port=server.port)
        answer = await agent.send(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        if not answer.startswith(b"HTTP/1.1 403 ") or f'"rule":"{rule}"'.encode() not in answer:
            wrong.append(f"{target}: {answer[-120:]!r}")
    assert wrong == []
    assert agent.relay.names.asked == []
    assert server.connections == 0


HEADS = [
    ("CONNECT files.example.org:PORT HTTP/2.0\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT\r\n\r\n", "malformed"),
    ("CONNECT  files.example.org:PORT HTTP/1.1\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT HTTP/1.1 \r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT x HTTP/1.1\r\n\r\n", "malformed"),
    ("CONNECT files.example.org\t:PORT HTTP/1.1\r\n\r\n", "malformed"),
    ("CONNECT files\xe9.example.org:PORT HTTP/1.1\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT HTTP/1.1\nHost: a\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nHost: other.example.net\r\n\r\n", "host_mismatch"),
    (
        "CONNECT files.example.org:PORT HTTP/1.1\r\nHost: files.example.org:1\r\n\r\n",
        "host_mismatch",
    ),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nHost:\r\n\r\n", "host_mismatch"),
    (
        f"CONNECT {HOST}:PORT HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n",
        "host_mismatch",
    ),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "body"),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "body"),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nHost : files.example.org\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nA: b\nHost: c\r\n\r\n", "malformed"),
    ("CONNECT files.example.org:PORT HTTP/1.1\r\nA: \x00\r\n\r\n", "malformed"),
    (f"CONNECT files.example.org:PORT HTTP/1.1\r\nA: {'x' * 20_000}\r\n\r\n", "malformed"),
    (f"CONNECT {'x' * 40_000}", "malformed"),
]


async def test_heads__that_two_readers_would_read_differently_are_refused(
    agent: Agent, server: TlsServer
) -> None:
    wrong: list[str] = []
    for pattern, rule in HEADS:
        head = pattern.replace("PORT", str(server.port)).encode("latin-1")
        answer = await agent.send(head)
        if not answer.startswith(b"HTTP/1.1 403 ") or f'"rule":"{rule}"'.encode() not in answer:
            wrong.append(f"{pattern[:80]}: {answer[-120:]!r}")
    assert wrong == []
    assert (agent.relay.names.asked, server.connections) == ([], 0)


async def test_what_is_no_tunnel__stays_http(agent: Agent, server: TlsServer) -> None:
    for line, status in (
        (f"connect {HOST}:{server.port} HTTP/1.1", b" 4"),
        (f"GET http://{HOST}:{server.port}/ HTTP/1.1", b" 403"),
        (f"GET https://{HOST}:{server.port}/ HTTP/1.1", b" 403"),
        (f"POST http://user:pass@{METADATA}/latest HTTP/1.1", b" 403"),
        (f"GET http://127.0.0.1:{server.port}/models/v1 HTTP/1.1", b" 403"),
    ):
        head = f"{line}\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        answer = await agent.send(head.encode())
        assert answer[8:].startswith(status), answer
        if status == b" 403":
            assert b'"rule":"absolute_uri"' in answer
    assert server.connections == 0


async def test_a_connect_after_a_request__gets_nowhere(agent: Agent, server: TlsServer) -> None:
    """What an agent's HTTP server reads is never a tunnel's beginning."""
    first = b"GET /models/x HTTP/1.1\r\nHost: x\r\n\r\n"
    connect = f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    for before in (first, b"\r\n", b"\r\n\r\n", b" ", b"\n"):
        answer = await agent.send(before + connect + client_hello(HOST))
        assert b" 200 " not in answer, before
    assert server.connections == 0


FIRST_BYTES = [
    ("another name", 60.0, client_hello("evil.example.org"), ALERT),
    ("no name", 60.0, client_hello(None), ALERT),
    ("another name in pieces", 60.0, in_records(client_hello("evil.example.org"), 3), ALERT),
    (
        "an encrypted hello behind another name",
        60.0,
        with_extension(client_hello("outer.example.com"), ENCRYPTED, b"\x00" + b"x" * 100),
        ALERT,
    ),
    ("plain HTTP", 60.0, b"GET / HTTP/1.1\r\nHost: files.example.org\r\n\r\n", b""),
    ("SSH", 60.0, b"SSH-2.0-x\r\n", b""),
    ("a huge hello", 60.0, b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"x" * 20_000, ALERT),
    ("a hello that does not end", 0.5, client_hello(HOST)[:-1], b""),
    ("nothing", 0.5, b"", b""),
]


@pytest.mark.parametrize(
    ("relay", "sent", "answer"),
    [case[1:] for case in FIRST_BYTES],
    indirect=["relay"],
    ids=[case[0] for case in FIRST_BYTES],
)
async def test_first_bytes__that_are_no_hello_for_the_host_are_not_forwarded(
    agent: Agent, server: TlsServer, sent: bytes, answer: bytes
) -> None:
    assert await agent.say(f"{HOST}:{server.port}", sent) == answer
    async with asyncio.timeout(30):
        while server.connections and not all(w.is_closing() for w in server.writers):
            await asyncio.wait([asyncio.ensure_future(w.wait_closed()) for w in server.writers])
    assert bytes(server.received) == b""


async def test_what_follows_a_refused_hello__is_not_forwarded_either(
    agent: Agent, server: TlsServer
) -> None:
    both = client_hello("evil.example.org") + client_hello(HOST)
    await agent.say(f"{HOST}:{server.port}", both)
    assert bytes(server.received) == b""


PRIVATE = [
    ["127.0.0.1"],
    ["10.0.0.1"],
    ["::1"],
    ["::ffff:127.0.0.1"],
    ["64:ff9b::7f00:1"],
    ["2002:7f00:1::1"],
    ["fd00::1"],
    ["fe80::1%1"],
    ["100.64.0.1"],
    [METADATA],
    ["1.1.1.1", "127.0.0.1"],
    ["2606:4700::1111", "::ffff:10.0.0.1"],
]


@pytest.mark.parametrize("answer", PRIVATE, ids=" ".join)
async def test_a_name_that_leads_inside__is_refused(
    short_dir: Path, server: TlsServer, answer: list[str]
) -> None:
    async with relay_in_process(short_dir) as relay:
        relay.names.answers[HOST] = [answer]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=server.port))
        said = await agent.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 403 ")
    assert b'"rule":"address_not_public"' in said
    assert server.connections == 0


async def test_metadata__is_refused_whatever_the_operators_networks(
    short_dir: Path, server: TlsServer
) -> None:
    async with relay_in_process(short_dir, "0.0.0.0/0", "::/0") as relay:
        relay.names.answers[HOST] = [[METADATA]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST))
        said = await agent.send(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
    assert b'"rule":"address_not_public"' in said


async def test_a_name_that_changes__is_asked_once_and_the_checked_address_is_dialled(
    short_dir: Path,
) -> None:
    async with (
        TlsServer(short_dir, raw=True, address="127.0.0.2") as checked,
        TlsServer(short_dir, raw=True, address="127.0.0.3", port=checked.port) as other,
        relay_in_process(short_dir, "127.0.0.2/32") as relay,
    ):
        relay.names.answers[HOST] = [["127.0.0.2"], ["127.0.0.3"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST, port=checked.port))
        _, (_, writer) = await agent.connect(f"{HOST}:{checked.port}")
        hello = client_hello(HOST)
        writer.write(hello)
        await checked.until_received(len(hello))
        assert relay.names.asked == [HOST]
        # the second answer leads elsewhere, and is checked like the first
        said = await agent.send(f"CONNECT {HOST}:{checked.port} HTTP/1.1\r\n\r\n".encode())
        assert b'"rule":"address_not_public"' in said
        assert other.connections == 0
        writer.close()


async def test_without_a_policy_for_tunnels__there_is_none(
    relay: InProcess, server: TlsServer
) -> None:
    agent = await relay.bind(relay.policy())
    answer = await agent.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\n\r\n".encode())
    assert b'"rule":"no_tunnels"' in answer
    assert (relay.names.asked, server.connections) == ([], 0)
