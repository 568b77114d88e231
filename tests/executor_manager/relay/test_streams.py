"""Answers that did not come whole: who cut them, what the agent sees, what the executor is told."""

import asyncio
import signal
import socket
import struct

import msgspec
import pytest

from contracts.relay import RELAY_DELETE
from contracts.wire import Empty
from executor_manager.relay.streams import KEPT, Asked, Streams
from tests.executor_manager.managers import until
from tests.executor_manager.relay.witness import (
    CHUNKED,
    FIRST,
    LAST,
    OK,
    Answer,
    Request,
    Witness,
    bind_agent,
    hasty,
    post,
    sha256,
    whole,
)
from tests.executor_manager.relays import Relay

BODY = b'{"messages":[]}'


async def end(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + FIRST)


async def end_in_a_chunk(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + FIRST[:-4])


async def end_before_the_length(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(OK[:-1])


async def reset(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + FIRST)
    await writer.drain()
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def silence(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + FIRST)
    await asyncio.Event().wait()


@hasty(STREAM_SILENCE="1")
@pytest.mark.parametrize("how", [end, end_in_a_chunk, end_before_the_length, reset, silence])
async def test_cut_by_the_upstream__looks_cut_and_is_told_until_made_good(
    agents_relay: Relay, witness: Witness, how: Answer
) -> None:
    session = await bind_agent(agents_relay, witness.named(), witness.named(name="other"))
    witness.answer = how
    answer = await session.agent.ask("/models/v1/messages?a=b", body=BODY)
    assert answer.startswith(b"HTTP/1.1 200")
    assert not answer.endswith((b"0\r\n\r\n", b"whole"))
    told = await session.streams()
    (cut,) = told.cuts
    assert (told.open, told.last, told.boot) == (0, 1, (await agents_relay.listing()).boot)
    assert (cut.number, cut.upstream, cut.path) == (1, "models", "/v1/messages")
    assert (cut.cut_by, cut.body_sha256, cut.answered_since) == ("upstream", sha256(BODY), False)
    assert (await session.streams(after=1)).cuts == []

    witness.answer = whole
    await session.agent.ask("/models/v1/messages", body=b"another")
    await session.agent.ask("/other/v1/messages", body=BODY)
    assert not (await session.streams()).cuts[0].answered_since
    await session.agent.ask("/models/v1/messages", body=BODY)
    assert (await session.streams()).cuts[0].answered_since


async def test_an_answer_without_success__makes_nothing_good(
    agents_relay: Relay, witness: Witness
) -> None:
    async def overloaded(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 529 Overloaded\r\nContent-Length: 2\r\n\r\n{}")

    session = await bind_agent(agents_relay, witness.named())
    for witness.answer in (end, overloaded):
        await session.agent.ask("/models/v1/messages", body=BODY)
    told = await session.streams()
    assert [(cut.number, cut.answered_since) for cut in told.cuts] == [(1, False)]


async def test_a_client_that_goes_away__is_no_cut_and_lets_go_of_the_upstream(
    relay: Relay, witness: Witness
) -> None:
    # by the relay that is patient: silence alone would not end it here
    upstream = msgspec.structs.replace(witness.named(), credential=None)
    session = await bind_agent(relay, upstream)
    witness.answer = silence
    reader, writer = await session.connect()
    writer.write(post("/models/v1/messages", BODY))
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        assert (await session.streams()).open == 1
        writer.transport.abort()
        told = await session.until_open(0)
    assert (told.last, told.cuts) == (0, [])


async def test_a_client_that_goes_away_while_waiting__is_forgotten(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    await witness.stop()
    _, writer = await session.connect()
    writer.write(post("/models/v1/messages", BODY))
    async with asyncio.timeout(30):  # less than the relay would wait
        await session.until_open(1)
        writer.transport.abort()
        await session.until_open(0)
    await witness.start()
    assert witness.seen == []


async def test_a_relay_that_was_killed__has_another_boot_and_waits_for_its_policy(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    former = (await session.streams()).boot
    witness.answer = silence
    reader, writer = await session.connect()
    writer.write(post("/models/v1/messages", BODY))
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        await agents_relay.kill()
        rest = await reader.read()
    writer.close()
    assert b"0\r\n\r\n" not in rest

    await agents_relay.start()
    with pytest.raises(ConnectionRefusedError):  # whoever pipes to it tries again
        await session.connect()
    witness.answer = whole
    await agents_relay.bind(session.control.worker_id, upstreams=[witness.named()])
    assert (await session.agent.ask("/models/v1/messages", body=BODY)).endswith(b"whole")
    told = await session.streams()
    assert (told.boot != former, told.cuts, told.refused) == (True, [], [])


async def test_terminated__it_cuts_what_is_open_and_ends(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    witness.answer = silence
    reader, writer = await session.connect()
    writer.write(post("/models/v1/messages", BODY))
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        await agents_relay.kill(signal.SIGTERM)
        assert b"0\r\n\r\n" not in await reader.read()
    writer.close()
    assert not session.agent.path.exists()
    assert '"by":"relay"' in agents_relay.log.replace(" ", "")


async def test_a_policy_without_an_agents_directory__cuts_by_the_relay(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    witness.answer = silence
    reader, writer = await session.connect()
    writer.write(post("/models/v1/messages", BODY))
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        await agents_relay.bind(session.control.worker_id)
        assert b"0\r\n\r\n" not in await reader.read()
    writer.close()
    assert [cut.cut_by for cut in (await session.streams()).cuts] == ["relay"]
    assert not session.agent.path.exists()


async def test_a_deleted_worker__has_neither_socket(agents_relay: Relay, witness: Witness) -> None:
    session = await bind_agent(agents_relay, witness.named())
    ids = {"worker_id": str(session.control.worker_id)}
    await agents_relay.admin.call(RELAY_DELETE, Empty(), path=ids)
    assert not session.agent.path.exists()
    assert not session.control.path.exists()


async def test_a_pushed_policy__counts_at_once_and_keeps_streams_and_sockets(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())
    gate = asyncio.Event()

    async def gated(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + FIRST)
        await gate.wait()
        writer.write(LAST)

    witness.answer = gated
    asking = asyncio.create_task(session.agent.ask("/models/v1/messages", body=BODY))
    await until(lambda: witness.seen, "the request")
    inode = session.agent.path.stat().st_ino
    await agents_relay.bind(session.control.worker_id, upstreams=[])
    assert (await session.agent.ask("/models/v1/messages")).startswith(b"HTTP/1.1 403")
    gate.set()
    assert (await asking).endswith(b"0\r\n\r\n")
    assert session.agent.path.stat().st_ino == inode


async def test_streams__are_the_workers_own_and_asked_rightly(
    agents_relay: Relay, witness: Witness
) -> None:
    first = await bind_agent(agents_relay, witness.named())
    second = await bind_agent(agents_relay, witness.named())
    witness.answer = end
    await first.agent.ask("/models/v1/messages", body=BODY)
    assert ((await first.streams()).last, (await second.streams()).last) == (1, 0)
    for body in (b'{"after":"x"}', b"[]", b"{"):
        assert b" 400 " in (await first.control.ask("/relay/streams", body=body))[:20]
    assert b" 403 " in (await first.control.ask("/relay/streams", method="GET"))[:20]


async def answer_busy(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}")


async def test_refused__is_told_until_its_path_was_answered(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named("/v1/"), witness.named(name="other"))
    witness.answer = answer_busy
    assert b" 429 " in await session.agent.ask("/models/v1/messages?beta=true", body=BODY)
    (refused,) = (await session.streams()).refused
    assert (refused.number, refused.upstream, refused.path) == (1, "models", "/v1/messages")
    assert (refused.status, refused.body_bytes) == (429, len(BODY))
    assert (refused.body_sha256, refused.answered_since) == (sha256(BODY), False)
    assert (await session.streams(after=1)).refused == []

    witness.answer = whole
    await session.agent.ask("/models/v1/responses", body=BODY)
    await session.agent.ask("/other/v1/messages", body=BODY)
    assert not (await session.streams()).refused[0].answered_since
    await session.agent.ask("/models/v1/messages", body=b"another")
    told = await session.streams()
    assert told.refused[0].answered_since
    assert told.cuts == []


@hasty(FIRST_BYTE="1", WAIT="1")
async def test_refused__by_the_relay_itself_is_told_as_well(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named(), witness.named(name="files"))

    async def nothing(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    await session.agent.ask("/models/v1/messages", body=b"x" * (2**20 + 1))
    witness.answer = nothing
    await session.agent.ask("/models/v1/messages", body=BODY)
    await witness.stop()
    await session.agent.ask("/files/v1/messages", body=BODY)
    (agents_relay.directory.parent / "credentials" / "key").unlink()
    await session.agent.ask("/models/v1/messages", body=BODY)
    told = await session.streams()
    assert [(one.upstream, one.status) for one in told.refused] == [
        ("models", 413),
        ("models", 504),
        ("files", 503),
        ("models", 503),
    ]
    # what the policy denies never was a request to an upstream
    await session.agent.ask("/models/v1/organizations")
    assert (await session.streams()).last == told.last


async def test_refused__is_nothing_that_its_client_did_not_wait_for(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.named())

    async def reluctant(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 12\r\n\r\nfirst ")
        await asyncio.Event().wait()

    witness.answer = reluctant
    reader, writer = await session.connect()
    writer.write(post("/models/v1/messages", BODY))
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        writer.transport.abort()
        told = await session.until_open(0)
    assert (told.last, told.refused) == (0, [])


def test_refused__a_larger_request_was_answered_after_the_number_asked_for() -> None:
    streams = Streams()
    streams.answered(asked(1000))
    streams.refused(asked(100), 404)
    assert [one.larger_answered for one in streams.told("boot", after=0).refused] == [True]
    assert [one.larger_answered for one in streams.told("boot", after=1).refused] == [False]
    streams.answered(asked(2000, "/v1/responses"))
    assert [one.larger_answered for one in streams.told("boot", after=1).refused] == [False]
    streams.answered(asked(500))
    assert [one.larger_answered for one in streams.told("boot", after=1).refused] == [True]


def asked(size: int, path: str = "/v1/messages") -> Asked:
    return Asked(upstream="models", path=path, body_sha256=str(size), body_bytes=size)


def test_very_many__only_the_newest_are_kept() -> None:
    streams = Streams()
    for number in range(KEPT + 10):
        streams.cut(asked(number, "/" + "x" * 9000), by="relay")
        streams.refused(asked(number, f"/{number}"), 500)
        streams.answered(asked(number, f"/{number}/other"))
    told = streams.told("boot", after=0)
    assert told.last == 3 * (KEPT + 10)
    assert (len(told.cuts), told.cuts[0].number) == (KEPT, 31)
    assert (len(told.refused), told.refused[0].number) == (KEPT, 32)
    assert max(len(cut.path) for cut in told.cuts) <= 200
