"""Upstreams of the control plane: the worker's token goes along, and nobody else sees it."""

import asyncio

import pytest

from tests.executor_manager.relay.witness import (
    Request,
    Witness,
    bind_agent,
    everything_about,
    whole,
)
from tests.executor_manager.relays import TOKEN, Relay

CLAIMS = (
    "Authorization: Bearer stolen\r\nX-API-Key: k\r\nCookie: a=b\r\nProxy-Authorization: p\r\n"
    "X-Berth-Identity: admin\r\n"
)


async def test_as_worker__has_the_workers_token_and_none_of_the_agents(
    agents_relay: Relay, witness: Witness
) -> None:
    async def telltale(request: Request, writer: asyncio.StreamWriter) -> None:
        (value,) = request.all("authorization")
        writer.write(
            f"HTTP/1.1 500 Oops\r\nX-Echo: {value}\r\nAuthorization: {value}\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )

    session = await bind_agent(agents_relay, witness.as_worker())
    said = b""
    for witness.answer in (telltale, whole):
        said += await session.agent.ask("/models/v1/messages?beta=true", headers=CLAIMS)
    assert said.startswith(b"HTTP/1.1 500")
    assert said.endswith(b"whole")
    for seen in witness.seen:
        assert seen.line == "POST /worker/models/v1/messages?beta=true HTTP/1.1"
        names = sorted(name.lower() for name, _ in seen.headers)
        assert names == ["authorization", "connection", "content-length", "host"]
        assert seen.all("authorization") == [f"Bearer {TOKEN}"]
    assert agents_relay.process is not None
    told = said + agents_relay.log.encode() + everything_about(agents_relay.process.pid)
    assert TOKEN.encode() not in told


async def test_as_worker__a_token_that_was_replaced_counts_at_once(
    agents_relay: Relay, witness: Witness
) -> None:
    session = await bind_agent(agents_relay, witness.as_worker())
    await session.agent.ask("/models/v1/messages")
    # also for a request that was waiting for its upstream meanwhile
    await witness.stop()
    waiting = asyncio.create_task(session.agent.ask("/models/v1/messages"))
    await session.until_open(1)
    await agents_relay.bind(session.control.worker_id, "bwt_new", [witness.as_worker()])
    await witness.start()
    assert (await waiting).endswith(b"whole")
    assert [seen.all("authorization") for seen in witness.seen] == [
        [f"Bearer {TOKEN}"],
        ["Bearer bwt_new"],
    ]


@pytest.mark.parametrize(
    ("kind", "status"), [("application/problem+json", 503), ("application/json", 401)]
)
async def test_as_worker__a_token_that_is_not_taken_is_no_matter_of_the_agents(
    agents_relay: Relay, witness: Witness, kind: str, status: int
) -> None:
    async def unauthorized(_request: Request, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 401 Unauthorized\r\nContent-Type: {kind}; charset=utf-8\r\n"
        writer.write(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())

    session = await bind_agent(agents_relay, witness.as_worker())
    witness.answer = unauthorized
    answer = await session.agent.ask("/models/v1/messages")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert [one.status for one in (await session.streams()).refused] == [status]
