"""An untrusted session on a kernel of its own (faults, I19): the same ways out are tried there."""

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import UUID

import pytest

from chassis.settings import load
from contracts.runs import CreateRun, Run
from contracts.tool_events import ToolResult
from tests.e2e import inside
from tests.e2e.engine import AGENT_UID, Engine
from tests.e2e.inside import (
    EVERYWHERE,
    EVERYWHERE_6,
    Question,
    asked_by_agent,
)
from tests.fixtures.deadlines import eventually
from tests.fixtures.engine import PrivateEngine, RealEngine, private_engine
from tests.fixtures.stack import EmbeddedStack
from tests.fixtures.viewer import watching
from tests.system.conftest import Stacks
from tests.system.test_escapes import STARTED, ImageSettings, wrong
from tests.system.visitor import Visitor, script

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]

WAIVED = "engine_version,runc_version,containerd_version,kernel"
"""This host's, which are another test's matter."""
ELSEWISE = {
    "capabilities": "releases differ in what /proc tells of them: `LOOK` does",
    "privileges": "as above: nobody there ever gains any",
    "seccomp": "the first process has no filter: its calls are the sandbox's own kernel's",
    "spaces": "namespaces are to be had, of the sandbox's own kernel",
    "calls": "`syslog` shows that kernel's log, and some are refused in other words",
    "nodes": "devices are that kernel's, which has none of the host's: `LOOK` tries",
    "neighbours": "loopback takes what is sent to it",
    "tracing": "what /proc tells of the executor's processes can be read: no secret is in it",
    "switches": "those that can be written are that kernel's",
}
"""What is different in a sandbox and leads nowhere."""
ASKED = tuple(
    check
    for check in (
        *inside.NETWORK,
        *inside.POWERS,
        *inside.HOLES,
        *inside.AGENTS,
        *inside.FILTERED,
    )
    if check not in ELSEWISE
)
LOOK = """
cat /proc/version
grep -E "^Cap(Inh|Prm|Eff):" /proc/self/status
for device in "c 1 1" "b 8 0" "b 254 0" "c 10 232"; do mknod made $device 2>&1; done
find . -name made
ls /proc/1/root/berth/spool 2>&1
for file in /proc/[0-9]*/mem; do head -c 1 $file > /dev/null 2>&1 && echo "read $file"; done
grep -al "$(printf %s bwt_)" /proc/[0-9]*/environ /proc/[0-9]*/cmdline
echo kept > kept; umask 077; echo mine > closed
"""
"""`mem` of its own shell and tools can be opened, and at 0 nothing is mapped."""
AGAIN = "cat kept closed; python3 -c 'import os; print(os.stat(\"closed\").st_uid)'"
"""Older releases have no answer for what coreutils ask of a file."""


@pytest.fixture(scope="module")
def sockets() -> Generator[Path]:
    """A socket's path ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bg", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
async def sandboxes(engine: RealEngine) -> AsyncGenerator[PrivateEngine]:
    runsc = shutil.which("runsc")
    if runsc is None:
        pytest.skip("runsc: gVisor is not here; Debian has it as the package runsc")
    image = load(ImageSettings).test_executor_image
    if not engine.client.images.list(name=image):
        pytest.skip(f"docker: the image {image} is needed: make images")
    flags = ["--host-uds=all", "--network=none"]
    runtimes = {"runsc": {"path": runsc, "runtimeArgs": flags}}
    async with private_engine(engine, image, runtimes) as private:
        yield private


@pytest.fixture(scope="module")
async def stack(
    stacks: Stacks, sandboxes: PrivateEngine, sockets: Path
) -> AsyncGenerator[EmbeddedStack]:
    manager = {
        "backend": "docker",
        "docker_host": sandboxes.host,
        "executor_image": load(ImageSettings).test_executor_image,
        "sockets_dir": str(sockets),
        "preflight_waived": WAIVED,
    }
    plane = {"idle_after_seconds": "600"}  # a check takes its time there
    yield await stacks.of({"executor-manager": manager, "control-plane": plane})
    await stacks.close()


@pytest.fixture
def room(sandboxes: PrivateEngine) -> Generator[Engine]:
    found = Engine(sandboxes.host)
    yield found
    found.close()


@pytest.fixture(scope="module")
async def app(stack: EmbeddedStack) -> UUID:
    body = {"name": "hostile", "agent": "scripted", "container": {"tier": "untrusted"}}
    answer = await stack.api.http.post("/api/v1/apps", json=body)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


@pytest.fixture
async def session(stack: EmbeddedStack, visitor: Visitor, app: UUID) -> UUID:
    body = CreateRun(text=script({"text": "here\n"}), app_id=app)
    run = await stack.api.post("/api/v1/runs", Run, body)
    return (await visitor.succeeded(visitor.follow(run), within=STARTED)).session_id


async def ran(visitor: Visitor, session: UUID, command: str) -> str:
    shadow = await visitor.send(script({"shell": command}), session=session)
    await visitor.succeeded(shadow, within=STARTED)
    (told,) = [one.event for one in shadow.seen if isinstance(one.event, ToolResult)]
    return told.output


async def test_session__lives_on_a_kernel_of_its_own_and_goes_on_in_another_container(
    stack: EmbeddedStack, visitor: Visitor, session: UUID, room: Engine
) -> None:
    first = await room.session(session)
    assert (await room.inspect(first))["HostConfig"]["Runtime"] == "runsc"
    told = (await ran(visitor, session, LOOK)).splitlines()
    assert os.uname().release not in told[0]
    assert [line.split()[1] for line in told[1:4]] == ["0" * 16] * 3
    rest = "\n".join(told[4:])
    assert "made" not in rest.replace("mknod: made:", ""), "a device in a directory of the host's"
    assert "read " not in rest
    assert "environ" not in rest
    done = await stack.api.http.post(f"/api/v1/session-workers/{session}/stop")
    assert done.status_code == 202

    async def gone() -> bool:
        return not await room.sessions(session)

    await eventually(gone, "its container is not removed")
    assert (await ran(visitor, session, AGAIN)).split() == ["kept", "mine", str(AGENT_UID)]
    assert (await room.session(session)).id != first.id


async def test_terminal_and_command__are_the_agents_there_too(
    stack: EmbeddedStack, session: UUID
) -> None:
    tty = f"/api/v1/session-workers/{session}/tty"
    answer = await stack.api.http.post(f"{tty}/exec", json={"command": "id -u; kill 1; echo $?"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["stdout"] == f"{AGENT_UID}\n1\n"
    url, key = f"{stack.api.url}{tty}", {"Authorization": f"Bearer {stack.key}"}
    async with watching(url, headers=key) as viewer:
        await viewer.enter("test -t 0 && id -u; echo do''ne\r")
        assert str(AGENT_UID).encode() in await viewer.sees("done\r\n")


async def test_session__has_no_way_out(
    stack: EmbeddedStack, visitor: Visitor, session: UUID, room: Engine
) -> None:
    addresses = [(one.rpartition(":")[0], int(one.rpartition(":")[2])) for one in EVERYWHERE]
    addresses += [(one, 80) for one in EVERYWHERE_6]
    addresses += [(one, 22) for one in sorted(hosts())]
    question = Question({"api-key": stack.key}, addresses)
    by_tool = await asked_by_agent(visitor, room, session, question, ASKED)
    assert wrong(by_tool) == {}
    assert set(by_tool) == set(ASKED)


def hosts() -> set[str]:
    found = {str(one[4][0]) for one in socket.getaddrinfo(socket.gethostname(), None)}
    return found - {"127.0.0.1", "::1"}
