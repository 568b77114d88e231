"""What was denied, as the control plane is told of it: once, counted, bounded, as the worker."""

import asyncio
import datetime
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from contracts.egress import Denial, EgressHost, TellDenials
from executor_manager.relay.telling import BATCH, MORE, Outcome, Telling
from tests.executor_manager.relay.tunnelling import (
    HOST,
    TOKEN,
    Agent,
    InProcess,
    relay_in_process,
)
from tests.executor_manager.relay.witness import Request, Witness

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def refusal(status: int) -> bytes:
    return f"HTTP/1.1 {status} Some\r\nContent-Length: 0\r\n\r\n".encode()


class ControlPlane:
    """Answers in turn; the last one again and again."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.told: list[TellDenials] = []
        self.came = asyncio.Event()
        self.gate: asyncio.Event | None = None
        """When set: answers wait until it is open."""

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self.told.append(msgspec.json.decode(request.body, type=TellDenials))
        self.came.set()
        if self.gate is not None:
            await self.gate.wait()
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    async def until(self, count: int) -> list[TellDenials]:
        async with asyncio.timeout(30):
            while len(self.told) < count:
                self.came.clear()
                await self.came.wait()
        return self.told


@asynccontextmanager
async def telling_to(
    control_plane: ControlPlane, folder: Path, **settings: float
) -> AsyncGenerator[InProcess]:
    async with Witness(answer=control_plane.answer) as witness:
        url = f"http://127.0.0.1:{witness.port}/base"
        async with relay_in_process(folder, control_plane_url=url, **settings) as relay:
            yield relay


def by_rule(told: TellDenials) -> dict[str, Denial]:
    return {denial.rule: denial for denial in told.denials}


async def get(agent: Agent, target: str) -> bytes:
    return await agent.send(
        f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1")
    )


async def test_denials__are_told_as_the_worker_with_what_was_asked_for(short_dir: Path) -> None:
    control_plane = ControlPlane(TAKEN)
    async with telling_to(control_plane, short_dir, relay_denials_seconds=60) as relay:
        relay.names.answers[HOST] = [["10.0.0.1"]]
        agent = await relay.bind_tunnels(EgressHost(host=HOST))
        for _ in range(3):
            await agent.send(b"CONNECT evil.example.org:8443 HTTP/1.1\r\n\r\n")
        await agent.send(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        await agent.send(b"CONNECT user:secret@10.0.0.1:443 HTTP/1.1\r\n\r\n")
        await get(agent, "http://user:secret@plain.example.org:81/a/b?token=secret")
        await get(agent, "/npm/left-pad?secret")
        await relay.workers.delete(agent.policy.worker_id)
        (told,) = await control_plane.until(1)
    (request,) = control_plane.requests
    worker = agent.policy.worker_id
    assert request.line == f"POST /base/internal/v1/workers/{worker}/denials HTTP/1.1"
    assert request.all("authorization") == [f"Bearer {TOKEN}"]
    found = by_rule(told)
    assert {rule: (one.upstream, one.method, one.count) for rule, one in found.items()} == {
        "host_not_allowed": ("tunnel", "CONNECT", 3),
        "address_not_public": ("tunnel", "CONNECT", 1),
        "userinfo": ("tunnel", "CONNECT", 1),
        "absolute_uri": ("", "GET", 1),
        "unknown_upstream": ("npm", "GET", 1),
    }
    places = {rule: (one.host, one.port, one.path) for rule, one in found.items()}
    assert places == {
        "host_not_allowed": ("evil.example.org", 8443, ""),
        "address_not_public": (HOST, 443, ""),
        "userinfo": ("10.0.0.1:443", 0, ""),
        "absolute_uri": ("plain.example.org", 81, "/a/b"),
        "unknown_upstream": ("", 0, "/npm/left-pad"),
    }
    assert b"secret" not in request.body


async def test_denials_of_the_executors_socket__are_told_too(short_dir: Path) -> None:
    control_plane = ControlPlane(TAKEN)
    async with telling_to(control_plane, short_dir) as relay:
        agent = await relay.bind(relay.policy())
        control = Path(agent.policy.control_dir) / "relay.sock"
        reader, writer = await asyncio.open_unix_connection(str(control))
        writer.write(b"GET /api/v1/projects HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 403")
        writer.close()
        (told,) = await control_plane.until(1)
    (one,) = told.denials
    assert (one.upstream, one.path) == ("control", "/api/v1/projects")


async def test_whatever_an_agent_sends__is_told_as_plain_text(short_dir: Path) -> None:
    control_plane = ControlPlane(TAKEN)
    async with telling_to(control_plane, short_dir) as relay:
        agent = await relay.bind(relay.policy())
        await agent.send(b"CONNECT \xff\x00\x1b[31m\xc3\xa9:1 HTTP/1.1\r\n\r\n")
        await agent.send(b"CONNECT " + b"x" * 5000 + b" HTTP/1.1\r\n\r\n")
        await get(agent, "/" + "y" * 3000)
        told = await control_plane.until(1)
        async with asyncio.timeout(30):
            while sum(len(batch.denials) for batch in told) < 3:
                await control_plane.until(len(told) + 1)
    for one in (denial for batch in told for denial in batch.denials):
        assert one.host.isascii()
        assert (one.host + one.path).isprintable()
        assert len(one.host) <= 253
        assert len(one.path) <= 200


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
async def test_a_batch_that_was_not_taken__is_told_again_under_its_id(
    short_dir: Path, status: int
) -> None:
    control_plane = ControlPlane(refusal(status), TAKEN)
    control_plane.gate = asyncio.Event()
    async with telling_to(control_plane, short_dir) as relay:
        agent = await relay.bind(relay.policy())
        await get(agent, "/first/x")
        await control_plane.until(1)
        await get(agent, "/second/x")
        await agent.change(token="fresh")
        control_plane.gate.set()
        first, again, second = await control_plane.until(3)
    assert first == again
    assert second.batch_id != first.batch_id
    assert [one.path for one in second.denials] == ["/second/x"]
    assert control_plane.requests[1].all("authorization") == ["Bearer fresh"]


async def test_a_batch_that_was_refused__is_dropped_and_the_next_is_told(short_dir: Path) -> None:
    control_plane = ControlPlane(refusal(404), TAKEN)
    async with telling_to(control_plane, short_dir) as relay:
        agent = await relay.bind(relay.policy())
        await get(agent, "/first/x")
        await control_plane.until(1)
        await get(agent, "/second/x")
        _, second = await control_plane.until(2)
    assert [one.path for one in second.denials] == ["/second/x"]


async def test_what_is_left_of_a_worker_that_is_gone__is_told(short_dir: Path) -> None:
    control_plane = ControlPlane(TAKEN)
    async with telling_to(control_plane, short_dir, relay_denials_seconds=60) as relay:
        agent = await relay.bind(relay.policy())
        await get(agent, "/last/x")
        await relay.workers.delete(agent.policy.worker_id)
        (told,) = await control_plane.until(1)
    assert [one.path for one in told.denials] == ["/last/x"]


def denial(path: str) -> Denial:
    at = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    return Denial(upstream="", method="GET", path=path, rule="path", at=at)


async def test_many_different_ones__are_bounded_and_the_rest_is_a_number() -> None:
    """However long the control plane is away, and however many batches fit into a minute."""
    told: list[TellDenials] = []
    away, came = asyncio.Event(), asyncio.Event()

    async def tell(batch: TellDenials) -> Outcome:
        told.append(batch)
        came.set()
        await away.wait()
        return "taken"

    telling = Telling(tell, gather_seconds=0.001)
    telling.add(denial("/first"))
    async with asyncio.timeout(30):
        await came.wait()
    for number in range(5000):
        telling.add(denial(f"/{number}"))
        telling.add(denial("/0"))
    came.clear()
    away.set()
    async with asyncio.timeout(30):
        while len(told) < 2:
            came.clear()
            await came.wait()
        telling.add(denial("/after"))
        while len(told) < 3:
            came.clear()
            await came.wait()
    _, many, after = told
    assert len(many.denials) == BATCH - 1
    assert many.denials[0].count == 5001
    assert many.denials[-1].rule == MORE
    kinds = BATCH - 2  # one of the minute's went with the first batch
    assert many.denials[-1].count == 5000 - kinds
    assert [(one.rule, one.count) for one in after.denials] == [(MORE, 1)]
    await telling.close()
