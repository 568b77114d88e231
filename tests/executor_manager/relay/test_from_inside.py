"""What policy does not grant, asked for from inside a container of the real engine by the real pipe
and a real relay; nothing gets through, nothing arrives, and an open gate in its place is noticed.
"""

import json
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chassis.ids import new_id
from contracts.egress import EgressHost, EgressPolicy, EgressProfile, GitRepository
from contracts.relay import NamedUpstream
from executor_manager.services.ways_out import WaysOut
from tests.e2e.engine import Engine
from tests.executor_manager.relay.confined import Confined, confined
from tests.executor_manager.relay.hellos import (
    ENCRYPTED,
    client_hello,
    in_records,
    with_extension,
)
from tests.executor_manager.relay.tunnelling import (
    HOST,
    OWN,
    TOKEN,
    InProcess,
    TlsServer,
    relay_in_process,
)
from tests.executor_manager.relay.witness import Request, Witness
from tests.fixtures.engine import RealEngine
from tests.fixtures.package_indexes import PackageIndexes, package_indexes

pytestmark = [pytest.mark.docker, pytest.mark.root]

REFUSED = ("hosts", "heads", "hellos", "absolute", "indexes", "repositories", "internal", "keys",
           "smuggled")  # fmt: skip
SEEN = (*REFUSED, "providers", "callbacks", "granted")
"""Which are red by the open gate, and the last one behind a relay."""
HELLOS = {
    "another name": client_hello("evil.example.org"),
    "no name": client_hello(None),
    "another name in pieces": in_records(client_hello("evil.example.org"), 3),
    "an encrypted hello": with_extension(
        client_hello("outer.example.com"), ENCRYPTED, b"\x00" + b"x" * 100
    ),
    "a name behind another": client_hello("evil.example.org") + client_hello(HOST),
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: files.example.org\r\n\r\n",
    "SSH": b"SSH-2.0-x\r\n",
}
GRANTED = [
    ("POST", "/models/v1/messages"),
    ("GET", "/pypi/simple/berth-greeting/"),
    ("GET", "/git/git.example.org/team/docs.git/info/refs?service=git-upload-pack"),
]
LINES = {
    "POST": "/models/v1/messages HTTP/1.1",
    "GET": "/git/git.example.org/team/docs.git/info/refs?service=git-upload-pack HTTP/1.1",
}


@pytest.fixture
def room(engine: RealEngine) -> Generator[Engine]:
    found = Engine(engine.host)
    yield found
    found.close()


@dataclass
class Outside:
    relay: InProcess
    server: TlsServer
    plane: Witness
    indexes: PackageIndexes

    @property
    def told(self) -> dict[str, Any]:
        return {
            "named": f"{HOST}:{self.server.port}",
            "hellos": {name: first.hex() for name, first in HELLOS.items()},
            "granted": GRANTED,
            "worker": str(new_id()),
            "other": str(new_id()),
        }

    async def bound(self) -> Path:
        """A worker's directory of its agent's socket, with what a manager makes of its policy."""
        egress = EgressPolicy(
            profile=EgressProfile.CUSTOM,
            packages=True,
            hosts=[EgressHost(host=HOST, port=self.server.port)],
            repositories=[GitRepository(host="git.example.org", path="team/docs")],
        )
        read: dict[str, Any] = {"methods": ["GET", "HEAD"], "paths": ["/"]}
        reads = [
            NamedUpstream(
                name="pypi",
                url=self.indexes.pypi_url,
                index="pypi",
                file_hosts=[self.indexes.files_url],
                **read,
            ),
            NamedUpstream(name="npm", url=self.indexes.npm_url, index="npm", **read),
        ]
        ways = WaysOut(
            control_plane_url=f"http://127.0.0.1:{self.plane.port}",
            indexes=reads,
            mib_per_hour=64,
            connections=8,
        )
        worker = new_id()
        policy = self.relay.policy(
            worker, upstreams=ways.upstreams(worker, egress), tunnels=ways.tunnels(egress)
        )
        os.chown(policy.agent_dir, 0, 10001)
        agent = await self.relay.bind(policy)
        return agent.path.parent


@pytest.fixture
async def outside(short_dir: Path) -> AsyncGenerator[Outside]:
    async def echo(request: Request, writer: Any) -> None:
        body = json.dumps([request.line, request.headers, request.body.decode()]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(Witness(answer=echo))
        url = f"http://127.0.0.1:{plane.port}"
        relay = await stack.enter_async_context(
            relay_in_process(short_dir, OWN, control_plane_url=url)
        )
        relay.names.answers[HOST] = [["127.0.0.1"]]
        server = await stack.enter_async_context(TlsServer(short_dir, raw=True))
        indexes = await stack.enter_async_context(package_indexes())
        yield Outside(relay, server, plane, indexes)


async def seen(inside: Confined, checks: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: found for name, found in (await inside.asked(checks)).items() if found}


async def test_what_policy_does_not_grant__is_not_there(room: Engine, outside: Outside) -> None:
    async with confined(room, await outside.bound(), outside.told) as inside:
        assert await seen(inside, ("granted", *REFUSED)) == {}
    assert bytes(outside.server.received) == b""
    assert set(outside.relay.names.asked) == {HOST}
    assert set(outside.indexes.targets("pypi")) == {"/simple/berth-greeting/"}
    assert outside.indexes.targets("npm") == []
    calls = [one for one in outside.plane.seen if "/denials " not in one.line]
    for one in calls:
        assert one.line.split(" ", 1)[1].endswith(LINES[one.line.split()[0]]), one.line
        assert one.all("authorization") == [f"Bearer {TOKEN}"]
    assert len(calls) < len(outside.plane.seen), "no denial was told"


async def test_open_gate__is_seen_by_every_check(room: Engine, outside: Outside) -> None:
    async with confined(room, None, outside.told) as inside:
        found = await seen(inside, SEEN)
        assert set(found) == {*SEEN} - {"granted"}
        inside.told["granted"] = [("NO", "\0")]
    async with confined(room, await outside.bound(), inside.told) as inside:
        assert set(await seen(inside, ("granted",))) == {"granted"}
