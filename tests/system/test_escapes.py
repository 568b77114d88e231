"""A hostile agent in a real container of the real engine (faults, groups I and K): every way out is
tried by its own tools, by whatever else has its uid, and by root in the container.
"""

import asyncio
import socket
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.settings import load
from contracts.tool_events import ToolResult
from tests.e2e import inside
from tests.e2e.blindness import Blindness
from tests.e2e.engine import AGENT_UID, Engine
from tests.e2e.inside import (
    EVERYWHERE,
    EVERYWHERE_6,
    Found,
    Question,
    asked_by_agent,
    asked_outside,
    configuration,
)
from tests.e2e.weakened_escapes import ESCAPES
from tests.fixtures.engine import RealEngine
from tests.fixtures.stack import EmbeddedStack
from tests.system.conftest import Stacks
from tests.system.visitor import Visitor, script

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]

STARTED = 120.0
"""Seconds for a run whose container is to be made."""
PORTS = (22, 53, 80, 443, 2375, 2376, 5432, 9000, *range(8000, 8011))
AS_ROOT = (*inside.NETWORK, *inside.POWERS, *inside.HOLES)
AS_AGENT = (*AS_ROOT, *inside.AGENTS)
BY_TOOL = (*AS_AGENT, *inside.FILTERED)


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    test_executor_image: str = "berth-executor:latest"


@pytest.fixture(scope="module")
def sockets() -> Generator[Path]:
    """A socket's path ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bx", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
async def stack(stacks: Stacks, engine: RealEngine, sockets: Path) -> AsyncGenerator[EmbeddedStack]:
    image = load(ImageSettings).test_executor_image
    if not engine.client.images.list(name=image):
        pytest.skip(f"docker: the image {image} is needed: make images")
    manager = {
        "backend": "docker",
        "docker_host": engine.host,
        "executor_image": image,
        "sockets_dir": str(sockets),
    }
    found = await stacks.of({"executor-manager": manager})
    manager_id = (found.home / "services/manager/manager_id").read_text().strip()
    yield found
    await stacks.close()
    await asyncio.to_thread(engine.remove_all, berth_manager=manager_id)


@pytest.fixture
def room(engine: RealEngine) -> Generator[Engine]:
    found = Engine(engine.host)
    yield found
    found.close()


@pytest.fixture
async def session(stack: EmbeddedStack, visitor: Visitor) -> UUID:
    shadow = await visitor.send(script({"text": "here\n"}))
    return (await visitor.succeeded(shadow, within=STARTED)).session_id


@pytest.fixture
def question(stack: EmbeddedStack, engine: RealEngine) -> Question:
    """Every address of this host and of the engine's networks, by every port that matters here."""
    hosts = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None)}
    for network in engine.client.networks.list(greedy=True):
        configs = (network.attrs["IPAM"] or {}).get("Config") or []
        hosts |= {config["Gateway"] for config in configs if "Gateway" in config}
    hosts -= {"127.0.0.1", "::1"}
    addresses = [(str(host), port) for host in sorted(map(str, hosts)) for port in PORTS]
    addresses += [(one.rpartition(":")[0], int(one.rpartition(":")[2])) for one in EVERYWHERE]
    addresses += [(one, 80) for one in EVERYWHERE_6]
    return Question({"api-key": stack.key}, addresses)


async def ran(visitor: Visitor, session: UUID, *commands: str) -> list[str]:
    shadow = await visitor.send(script(*({"shell": one} for one in commands)), session=session)
    await visitor.succeeded(shadow, within=STARTED)
    return [one.event.output for one in shadow.seen if isinstance(one.event, ToolResult)]


def wrong(answers: Found) -> Found:
    return {check: found for check, found in answers.items() if found}


async def test_session__has_no_way_out(
    visitor: Visitor, session: UUID, room: Engine, question: Question
) -> None:
    by_tool = await asked_by_agent(visitor, room, session, question, BY_TOOL)
    assert wrong(by_tool) == {}
    assert set(by_tool) == set(BY_TOOL)
    container = await room.session(session)
    for uid, checks in ((AGENT_UID, AS_AGENT), (0, AS_ROOT)):
        assert wrong(await asked_outside(room, container, question, checks, uid=uid)) == {}, uid


async def test_every_check__is_red_where_it_is_weakened(
    session: UUID, room: Engine, question: Question
) -> None:
    pattern = configuration(await room.inspect(await room.session(session)))
    label = ("berth.test.weakened", uuid4().hex)
    seeing = Blindness(engine=room, label=label, front="bridge", sound=AS_AGENT)
    await seeing.none(ESCAPES, pattern, question)
    assert await room.containers("=".join(label)) == []
