"""A hostile agent in a real container of the real engine (faults, groups I and K): every way out is
tried by its own tools, by whatever else has its uid, and by root in the container.
"""

import asyncio
import socket
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.ids import new_id
from chassis.settings import load
from contracts.models import PutModelUpstream
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
from tests.executor_manager.relay.confined import Confined
from tests.fixtures.deadlines import eventually
from tests.fixtures.engine import RealEngine
from tests.fixtures.scripted_model import ScriptedModel, running_model
from tests.fixtures.stack import EmbeddedStack
from tests.fixtures.viewer import watching
from tests.system.conftest import Stacks
from tests.system.visitor import Visitor, script

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]

STARTED = 120.0
"""Seconds for a run whose container is to be made."""
KEY = "sk-canary-of-the-provider"
HOSTILE = "".join(
    rf"\033{one}between"
    for one in (
        r"]52;c;Y3VybA==\007",
        r"]8;;file:///etc/passwd\007",
        r"]0;title\007",
        "[21t",
        r"P\$qm\033\\",
        "[c",
        "[6n",
        "[5i",
        r"_Gx\033\\",
    )
)
ORDERS = (b"\x1b]52", b"\x1b]8;", b"\x1b]0;", b"\x1b[21t", b"\x1bP", b"\x1b[c", b"\x1b[6n",
          b"\x1b[5i", b"\x1b_")  # fmt: skip
PORTS = (22, 53, 80, 443, 2375, 2376, 5432, 9000, *range(8000, 8011))
AS_ROOT = (*inside.NETWORK, *inside.POWERS, *inside.HOLES)
AS_AGENT = (*AS_ROOT, *inside.AGENTS)
BY_TOOL = (*AS_AGENT, *inside.FILTERED)
LISTENS = """
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    fields = line.split()
    if fields[3] == "0A" and fields[7] == "10002":
        print(int(fields[1].split(":")[1], 16))
"""
UNGRANTED = ("hosts", "absolute", "indexes", "repositories", "providers", "internal")
PLANTED = """
mark='printf "%s\\n" "$(id -u)" >> MARK'
git init -q . && mkdir -p .claude .vscode bin
for hook in post-checkout pre-commit post-index-change post-merge fsmonitor; do
  printf '#!/bin/sh\\n%s\\n' "$mark" > .git/hooks/$hook && chmod 755 .git/hooks/$hook
done
git config core.fsmonitor .git/hooks/fsmonitor
git config core.pager "sh -c '$mark'" && git config diff.external .git/hooks/fsmonitor
hook='[{"hooks":[{"type":"command","command":"sh .git/hooks/fsmonitor"}]}]'
printf '{"hooks":{"SessionStart":%s}}' "$hook" > .claude/settings.json
printf '{"mcpServers":{"x":{"command":"sh","args":[".git/hooks/fsmonitor"]}}}' > .mcp.json
printf '{"tasks":[{"label":"x","command":"sh .git/hooks/fsmonitor"}]}' > .vscode/tasks.json
for file in .bashrc .profile .bash_profile "$HOME/.bashrc" "$HOME/.profile"; do
  printf '%s\\n' "$mark" > "$file"
done
for file in sitecustomize usercustomize contracts chassis executor msgspec; do
  printf 'import os\\nos.system(f"sh {os.path.dirname(__file__)}/.git/hooks/fsmonitor")\\n' \
    > $file.py
done
for file in git python python3 sh; do cp .git/hooks/fsmonitor bin/$file; done
mkdir -p "$HOME/.config/systemd/user" && touch "$HOME/.config/systemd/user/x.service" MARK.stays
crontab -l 2>&1; echo planted
"""


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    test_executor_image: str = "berth-executor:latest"


@pytest.fixture(scope="module")
def sockets() -> Generator[Path]:
    """A socket's path ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bx", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedModel]:
    place: Path = tmp_path_factory.mktemp("model")
    (place / "keys").write_text(f"{KEY}\n")
    with running_model(place, "--key-file", str(place / "keys")) as model:
        yield model


@pytest.fixture(scope="module")
async def stack(
    stacks: Stacks, engine: RealEngine, sockets: Path, model: ScriptedModel
) -> AsyncGenerator[EmbeddedStack]:
    image = load(ImageSettings).test_executor_image
    if not engine.client.images.list(name=image):
        pytest.skip(f"docker: the image {image} is needed: make images")
    manager = {
        "backend": "docker",
        "docker_host": engine.host,
        "executor_image": image,
        "sockets_dir": str(sockets),
    }
    # what looks around from outside is no activity of the session's
    plane = {"model_hosts": model.url, "idle_after_seconds": "300"}
    found = await stacks.of({"executor-manager": manager, "control-plane": plane})
    project: UUID = await found.value("SELECT id FROM projects ORDER BY created_at LIMIT 1")
    upstream = PutModelUpstream(
        url=model.url, formats=["messages"], models=["scripted-1"], key=KEY, auth="x-api-key"
    )
    path = f"/api/v1/projects/{project}/model-upstreams/scripted"
    answer = await found.api.http.put(path, content=msgspec.json.encode(upstream))
    assert answer.status_code == 200, answer.text
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


async def confined(stack: EmbeddedStack, room: Engine, session: UUID) -> Confined:
    container = await room.session(session)
    told = await room.run(container, "python3", "-I", "-S", "-c", LISTENS)
    other = new_id()
    return Confined(
        engine=room,
        container=container,
        sockets=["/berth/agent/agent.sock"],
        told={
            "port": int(told.output),
            "granted": [("GET", "/models/v1/models")],
            "worker": str(stack.box(session).record.worker_id),
            "other": str(other),
        },
    )


async def test_what_is_not_granted__is_refused_by_every_service(
    stack: EmbeddedStack, session: UUID, room: Engine, model: ScriptedModel
) -> None:
    """A model is, and by it nothing else of its provider's, nor of the control plane."""
    asked = len(model.log())
    inside = await confined(stack, room, session)
    assert wrong(await inside.asked(("granted", *UNGRANTED))) == {}
    assert len(model.log()) == asked
    as_root = Confined(
        engine=room,
        container=inside.container,
        sockets=["/berth/control/relay.sock"],
        told={**inside.told, "port": 0},
    )
    assert wrong(await as_root.asked(("callbacks",), uid=0)) == {}


async def test_relay_that_is_killed__leaves_nothing_open(
    stack: EmbeddedStack, session: UUID, room: Engine, question: Question
) -> None:
    inside = await confined(stack, room, session)
    waiting = Confined(
        engine=room, container=inside.container, sockets=[], told=inside.told
    )  # by loopback alone, which waits for a relay
    asking = asyncio.create_task(waiting.asked(UNGRANTED))
    for _ in range(3):
        former = await stack.kill9("relay")
        checks = ("interfaces", "tcp", "udp", "names", "raw")
        found = await asked_outside(room, inside.container, question, checks, uid=AGENT_UID)
        assert wrong(found) == {}
        await stack.back("relay", former)
    assert wrong(await asking) == {}

    async def granted() -> bool:
        return not wrong(await waiting.asked(("granted",)))

    await eventually(granted, "what is granted is not there again")


async def looked_at_by_the_host(workspace: Path) -> None:
    """What no part of Berth does: it is by this that the test can fail."""
    process = await asyncio.create_subprocess_exec(
        "git", "-c", "safe.directory=*", "status", cwd=workspace, stdout=DEVNULL, stderr=DEVNULL
    )
    await asyncio.wait_for(process.wait(), 20)


async def test_what_an_agent_plants__runs_as_nobody_else_and_stays_in_its_container(
    stack: EmbeddedStack, visitor: Visitor, session: UUID, room: Engine
) -> None:
    mark = f"/tmp/berth-planted-{uuid4().hex}"
    (planted,) = await ran(visitor, session, PLANTED.replace("MARK", mark))
    assert "planted" in planted
    (told,) = await ran(
        visitor, session, f"git status >/dev/null 2>&1; cat {mark}; ls {mark}.stays"
    )
    assert set(told.split()) == {str(AGENT_UID), f"{mark}.stays"}
    for path in (".git/config", ".git/hooks/fsmonitor", ".mcp.json"):
        answer = await stack.api.http.get(
            f"/api/v1/session-workers/{session}/workspace/file", params={"path": path}
        )
        assert answer.status_code == 200
    first = await room.session(session)
    done = await stack.api.http.post(f"/api/v1/session-workers/{session}/stop")
    assert done.status_code == 202

    async def gone() -> bool:
        return not await room.sessions(session)

    await eventually(gone, "its container is not removed")
    look = f"ls {mark} {mark}.stays $HOME/.bashrc $HOME/.config 2>&1; ls .mcp.json"
    (told,) = await ran(visitor, session, look)
    assert told.count("No such file") == 4, told
    assert ".mcp.json" in told.splitlines()[-1]
    assert (await room.session(session)).id != first.id
    outside = Path(mark)
    assert not await asyncio.to_thread(outside.exists)
    await looked_at_by_the_host(stack.box(session).workspace)
    assert await asyncio.to_thread(outside.exists), "what was planted is harmless anyway"
    await asyncio.to_thread(outside.unlink)


async def test_what_a_program_tells_a_terminal__is_no_order_to_whoever_looks(
    stack: EmbeddedStack, session: UUID, room: Engine
) -> None:
    container = await room.session(session)
    raw = (await room.run(container, "sh", "-c", f"printf '{HOSTILE}'")).output.encode()
    assert all(one in raw for one in ORDERS), "it does not print them"
    tty = f"{stack.api.url}/api/v1/session-workers/{session}/tty"
    async with watching(tty, headers={"Authorization": f"Bearer {stack.key}"}) as viewer:
        await viewer.enter(f"clear; printf '{HOSTILE}'; echo do''ne\r")
        shown = await viewer.sees("done\r\n")
    assert b"between" in shown
    assert [one for one in ORDERS if one in shown] == []


async def test_what_one_session_leaves__no_other_finds(visitor: Visitor, room: Engine) -> None:
    """Caches of tools and all else that it may write to."""
    mark = f"left-{uuid4().hex}"
    leave = f"""
for place in /workspace /tmp /dev/shm "$HOME" "$HOME/.cache/pip" "$HOME/.npm" "$HOME/.cargo"; do
  mkdir -p "$place" && touch "$place/{mark}"
done"""
    find = f"find / -xdev -name {mark} 2>/dev/null; find /workspace /tmp /dev -name {mark}; true"
    sources: list[set[str]] = []
    seen: list[str] = []
    for command in (leave, "true"):
        shadow = await visitor.send(script({"shell": command}, {"shell": f"{find}; ls -a ~"}))
        session = (await visitor.succeeded(shadow, within=STARTED)).session_id
        seen += [one.event.output for one in shadow.seen if isinstance(one.event, ToolResult)][-1:]
        mounts = (await room.inspect(await room.session(session)))["Mounts"]
        sources.append({mount["Source"] for mount in mounts})
    assert seen[0].count(mark) >= 4, seen[0]
    assert mark not in seen[1]
    assert sources[0].isdisjoint(sources[1])
    assert len(sources[0]) == 4
