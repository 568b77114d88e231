"""Named upstreams on an agent's socket: what goes through, how, and what does not."""

import asyncio
import stat
from pathlib import Path

import pytest

from chassis.errors import CallFailed
from chassis.ids import new_id
from contracts.relay import RELAY_PUT, RelayPolicy
from tests.executor_manager.relay.witness import (
    CHUNKED,
    FIRST,
    LAST,
    SECRET,
    Request,
    Witness,
    bind_agent,
    everything_about,
    hasty,
    keep_secret,
    post,
)
from tests.executor_manager.relays import Relay


async def test_request__has_the_relays_credential_and_none_of_the_agents(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named(base="/base"))
    claims = (
        "Authorization: Bearer stolen\r\nX-API-Key: k\r\nX_Api_Key: k\r\nCookie: a=b\r\n"
        "Proxy-Authorization: p\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=x\r\nVia: v\r\n"
        "X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nTE: trailers\r\n"
        "X-Hop: h\r\nAnthropic-Version: 2023-06-01\r\n"
    ).replace("TE:", "Keep-Alive: timeout=5\r\nTE:")
    head = f"POST /models/v1/messages?beta=true HTTP/1.1\r\nHost: evil.test\r\n{claims}"
    connection = "Connection: close, X-Hop\r\nContent-Length: 2\r\n\r\n{}"
    answer = await session.agent.send((head + connection).encode())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"whole")
    (seen,) = witness.seen
    assert seen.line == "POST /base/v1/messages?beta=true HTTP/1.1"
    assert seen.body == b"{}"
    assert sorted(seen.headers) == [
        ("Anthropic-Version", "2023-06-01"),
        ("Connection", "close"),
        ("Content-Length", "2"),
        ("Host", f"localhost:{witness.port}"),
        ("authorization", f"Bearer {SECRET}"),
    ]


async def test_credential__is_nowhere_but_upstream(agents_relay: Relay, witness: Witness) -> None:
    async def telltale(request: Request, writer: asyncio.StreamWriter) -> None:
        (value,) = request.all("authorization")
        writer.write(
            f"HTTP/1.1 302 Found\r\nAuthorization: {value}\r\nX-Echo: {value}\r\n"
            f"Set-Cookie: a={value}\r\nWWW-Authenticate: Bearer\r\nX-Fine: yes\r\n"
            f"Location: https://elsewhere.test/?{value}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async def garbage(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 what\r\nthis is: no\x00 HTTP\r\n\r\n")

    session = await bind_agent(agents_relay, witness.named())
    said = b""
    for witness.answer in (telltale, garbage):
        said += await session.agent.ask("/models/v1/messages", body=b"{}")
    assert [seen.all("authorization") for seen in witness.seen] == [[f"Bearer {SECRET}"]] * 2
    assert said.startswith(b"HTTP/1.1 302")
    assert b"X-Fine: yes" in said
    assert b"HTTP/1.1 503" in said
    assert b"ocation" not in said
    assert agents_relay.process is not None
    told = said + agents_relay.log.encode() + everything_about(agents_relay.process.pid)
    assert SECRET.encode() not in told
    assert b"upstream_failed" in told


async def test_credential__that_was_replaced_counts_at_once(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    for value in ("one", "two"):
        keep_secret(agents_relay, value)
        await session.agent.ask("/models/v1/messages")
    assert [seen.all("authorization") for seen in witness.seen] == [["Bearer one"], ["Bearer two"]]


@pytest.mark.parametrize("value", [None, "", "two\nlines", "x" * 20000])
async def test_credential__that_is_not_there_is_named(
    agents_relay: Relay, witness: Witness, value: str | None
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    keep_secret(agents_relay, value or "")
    if value is None:
        (agents_relay.directory.parent / "credentials" / "key").unlink()
    answer = await session.agent.ask("/models/v1/messages")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"dependency_unavailable" in answer
    assert b"the credential key" in answer
    assert witness.seen == []


DENIED = [
    ("POST", "/", "not_a_path_of_an_upstream"),
    ("POST", "/models", "not_a_path_of_an_upstream"),
    ("POST", "//models/v1/messages", "not_a_path_of_an_upstream"),
    ("POST", "/models/v1/messages#x", "not_a_path_of_an_upstream"),
    ("POST", "http://localhost/models/v1/messages", "absolute_uri"),
    ("POST", "http://models/v1/messages", "absolute_uri"),
    ("POST", "/Models/v1/messages", "not_a_path_of_an_upstream"),
    ("POST", "/%6dodels/v1/messages", "not_a_path_of_an_upstream"),
    ("POST", "/other/v1/messages", "unknown_upstream"),
    ("POST", "/internal/v1/workers", "unknown_upstream"),
    ("POST", "/relay/streams", "unknown_upstream"),
    ("POST", "/models/", "path"),
    ("POST", "/models/v1/messages/", "path"),
    ("POST", "/models/v1/messages;x=1", "path"),
    ("POST", "/models/v1/message", "path"),
    ("POST", "/models/v1/message%73", "path"),
    ("POST", "/models/V1/messages", "path"),
    ("POST", "/models/v1/organizations", "path"),
    ("POST", "/models/v1/files", "path"),
    ("DELETE", "/models/v1/messages", "method"),
    ("PUT", "/models/v1/messages", "method"),
    ("OPTIONS", "/models/v1/messages", "method"),
    ("TRACE", "/models/v1/messages", "method"),
    ("POST", "/models/v1/files/../organizations", "dot_segment"),
    ("POST", "/models/v1/files/%2e%2E/organizations", "dot_segment"),
    ("POST", "/models/v1/files/.%2e/organizations", "dot_segment"),
    ("POST", "/models/v1/files/..;/organizations", "dot_segment"),
    ("POST", "/models/v1/files/./a", "dot_segment"),
    ("POST", "/models/../internal", "dot_segment"),
    ("POST", "/models/v1/files/..%2forganizations", "encoded_slash"),
    ("POST", "/models/v1/files/%5c..%5ca", "encoded_slash"),
    ("POST", "/models/v1/files/..\\a", "encoded_slash"),
    ("POST", "/models/v1/files//a", "encoded_slash"),
    ("POST", "/models//v1/files/a", "encoded_slash"),
    ("POST", "/models/v1/files/%252e%252e/a", "encoded_slash"),
    ("POST", "/models/v1/files/a%00", "encoded_slash"),
    ("POST", "/models/v1/files/a%0d%0ax", "encoded_slash"),
    ("POST", "/models/v1/files/a%", "encoded_slash"),
    ("POST", "/models/v1/files/a%zz", "encoded_slash"),
]


async def test_everything_else__is_denied_and_logged_and_reaches_no_upstream(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    wrong: list[str] = []
    for method, target, rule in DENIED:
        answer = await session.agent.ask(target, method=method)
        if not answer.startswith(b"HTTP/1.1 403") or f'"rule":"{rule}"'.encode() not in answer:
            wrong.append(f"{method} {target}: {answer[-160:]!r}")
    assert wrong == []
    assert witness.seen == []
    assert agents_relay.log.count('"relay_denied"') == len(DENIED)
    assert str(session.control.worker_id) in agents_relay.log


async def test_what_is_below_a_prefix__passes(agents_relay: Relay, witness: Witness) -> None:
    session = await bind_agent(agents_relay, witness.named())
    targets = ["/v1/files/a%20b", "/v1/files/...", "/v1/files/a.b?x=%2F..%2F&y=//", "/v1/files/"]
    for target in targets:
        assert b" 200 OK" in (await session.agent.ask(f"/models{target}", method="GET"))[:20]
    assert [seen.line.split(" ")[1] for seen in witness.seen] == targets


SMUGGLED = [
    "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "X-Folded: a\r\n Content-Length: 2\r\n\r\n{}",
    "Content-Length: +2\r\n\r\n{}",
    "Content-Length: 2, 2\r\n\r\n{}",
    "Content-Length: -2\r\n\r\n{}",
    "X-Bad\x00: a\r\nContent-Length: 0\r\n\r\n",
    "X Bad: a\r\nContent-Length: 0\r\n\r\n",
    ": a\r\nContent-Length: 0\r\n\r\n",
    "Host: other\r\nContent-Length: 0\r\n\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    "Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    f"X-Large: {'x' * 9000}\r\nContent-Length: 0\r\n\r\n",
    "".join(f"X-{n}: {'x' * 4000}\r\n" for n in range(20)) + "Content-Length: 0\r\n\r\n",
    "".join(f"X-{n}: x\r\n" for n in range(200)) + "Content-Length: 0\r\n\r\n",
]


async def test_what_two_readers_would_read_differently__is_refused(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    head = "POST /models/v1/messages HTTP/1.1\r\nHost: x\r\n"
    hidden = "GET /models/v1/files/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    wrong: list[str] = []
    for rest in SMUGGLED:
        answer = await session.agent.send((head + rest + hidden).encode())
        if answer[8:12] not in {b" 400", b" 403"}:
            wrong.append(f"{rest[:60]}: {answer[:80]!r}")
    assert wrong == []
    assert witness.seen == []


HEADS = [
    "POST /models/v1/messages HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST /models/v1/messages HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "POST * HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
    "CONNECT /models/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /models/v1/files/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET\t/models/v1/files/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /models/v1/files/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "get /models/v1/files/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    f"GET /models/v1/files/{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
]


async def test_other_heads__get_nowhere(agents_relay: Relay, witness: Witness) -> None:
    session = await bind_agent(agents_relay, witness.named())
    wrong: list[str] = []
    for head in HEADS:
        answer = await session.agent.send(head.encode("latin-1"))
        if not answer[8:].startswith(b" 4"):
            wrong.append(f"{head[:60]}: {answer[:80]!r}")
    assert wrong == []
    assert witness.seen == []


async def test_a_stream__leaves_as_it_comes_in_both_directions(
    agents_relay: Relay, witness: Witness
) -> None:
    gate = asyncio.Event()

    async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + FIRST)
        await gate.wait()
        writer.write(LAST)

    witness.answer = answer
    session = await bind_agent(agents_relay, witness.named())
    reader, writer = await session.connect()
    head = "POST /models/v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    async with asyncio.timeout(30):
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"3\r\nabc\r\n")
        writer.write(b"3\r\ndef\r\n0\r\n\r\n")
        await reader.readuntil(b"first ")
        gate.set()
        await reader.readuntil(b"0\r\n\r\n")
        assert not reader.at_eof()
        writer.write(post("/models/v1/messages", b"second"))  # the connection is kept
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    assert [seen.body for seen in witness.seen] == [b"abcdef", b"second"]


async def test_head__has_the_length_and_no_body(agents_relay: Relay, witness: Witness) -> None:
    async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")

    witness.answer = answer
    session = await bind_agent(agents_relay, witness.named())
    said = await session.agent.ask("/models/v1/files/a", method="HEAD")
    assert said.startswith(b"HTTP/1.1 200")
    assert b"Content-Length: 1234" in said
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large__is_refused(
    agents_relay: Relay, witness: Witness, *, announced: bool
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    reader, writer = await session.connect()
    length = "Content-Length: 1048577" if announced else "Transfer-Encoding: chunked"
    writer.write(f"POST /models/v1/messages HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
    if not announced:
        writer.write(b"100001\r\n" + b"x" * 0x100001 + b"\r\n0\r\n\r\n")
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert witness.seen == []


@hasty(STREAM_SILENCE="1")
async def test_a_body_that_stops__is_not_waited_for(agents_relay: Relay, witness: Witness) -> None:
    session = await bind_agent(agents_relay, witness.named())
    reader, writer = await session.connect()
    writer.write(post("/models/v1/messages", b"half").replace(b"4\r\n", b"8\r\n"))
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert witness.seen == []


async def test_an_upstream_that_is_away__is_waited_for(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    await witness.stop()
    asking = asyncio.create_task(session.agent.ask("/models/v1/messages", body=b"once"))
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done
    await witness.start()
    assert (await asking).endswith(b"whole")
    assert [seen.body for seen in witness.seen] == [b"once"]


async def test_a_body_that_waits_to_be_asked_for__is_asked_for_once(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    await witness.stop()
    reader, writer = await session.connect()
    head = post("/models/v1/messages", b"body").replace(b"\r\n\r\nbody", b"\r\n")
    writer.write(head + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
    reading = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    done, _ = await asyncio.wait([reading], timeout=0.5)
    assert not done
    await witness.start()
    async with asyncio.timeout(30):
        assert (await reading).startswith(b"HTTP/1.1 100 Continue")
        writer.write(b"body")
        rest = await reader.read()
    writer.close()
    assert rest.startswith(b"HTTP/1.1 200 OK")
    assert [seen.body for seen in witness.seen] == [b"body"]


async def test_an_upstream_that_drops_a_get__is_not_asked_again(
    agents_relay: Relay, witness: Witness
) -> None:
    async def drop(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()

    witness.answer = drop
    session = await bind_agent(agents_relay, witness.named())
    answer = await session.agent.ask("/models/v1/files/a", method="GET")
    assert answer.startswith(b"HTTP/1.1 503")
    assert len(witness.seen) == 1
    assert (await session.streams()).cuts == []


@hasty(FIRST_BYTE="1", WAIT="1")
async def test_an_upstream_that_never_answers__is_told_as_a_timeout(
    agents_relay: Relay, witness: Witness
) -> None:
    async def wait(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    witness.answer = wait
    session = await bind_agent(agents_relay, witness.named())
    answer = await session.agent.ask("/models/v1/messages")
    assert answer.startswith(b"HTTP/1.1 504")
    assert (await session.streams()).cuts == []


async def test_agents_socket__is_for_its_directorys_group(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    assert stat.S_IMODE(session.agent.path.stat().st_mode) == 0o660
    assert stat.S_IMODE(session.control.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("field", ["control_dir", "agent_dir"])
async def test_a_directory_elsewhere__is_refused(
    agents_relay: Relay, tmp_path: Path, field: str
) -> None:
    worker_id = new_id()
    place = agents_relay.directory.parent / "w"
    place.mkdir()
    for name in ("control", "agent"):
        (place / name).mkdir()
    led_away = place / "link"
    led_away.symlink_to(tmp_path)
    for elsewhere in (led_away, tmp_path, place / ".." / ".." / tmp_path.name):
        control = elsewhere if field == "control_dir" else place / "control"
        agent = elsewhere if field == "agent_dir" else place / "agent"
        policy = RelayPolicy(
            worker_id=worker_id, epoch=1, token="t", control_dir=str(control), agent_dir=str(agent)
        )
        with pytest.raises(CallFailed, match=f"{field} .* is not below"):
            await agents_relay.admin.call(RELAY_PUT, policy, path={"worker_id": str(worker_id)})
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240  # an empty directory
    assert (await agents_relay.listing()).workers == []
