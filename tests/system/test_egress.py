"""From inside a session's container, by a real relay: ordinary tools find what the policy grants,
with nothing to configure, and whatever it does not grant is an event.

The index and the registry are the test's own, on this host's loopback: no container reaches that.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from chassis.settings import load
from contracts.egress import AskedEgress, EgressHost, EgressPolicy, EgressProfile
from contracts.projects import ProjectList
from contracts.security_events import EgressDenied
from contracts.tool_events import ToolResult
from tests.fixtures.engine import RealEngine
from tests.fixtures.package_indexes import GREETING, NPM_GREETING, PackageIndexes, package_indexes
from tests.fixtures.stack import EmbeddedStack
from tests.system.conftest import Stacks
from tests.system.visitor import Shadow, Visitor, script

pytestmark = [pytest.mark.docker, pytest.mark.root]

STARTED = 120.0
"""Seconds for a run whose container is to be made; npm alone takes some of them."""

PACKAGES = AskedEgress(profile=EgressProfile.PACKAGES)
CUSTOM = AskedEgress(profile=EgressProfile.CUSTOM, hosts=[EgressHost(host="api.example.org")])
IN_PYTHON = """\
import http.client, os, sys
method, target, body = sys.argv[1:]
url = os.environ["BERTH_MODEL_BASE_URL"].split("/")[2]
asking = http.client.HTTPConnection(url)
asking.request(method, target, body or None)
print(asking.getresponse().status)
"""


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    test_agents_image: str = "berth-executor-agents:latest"


@pytest.fixture(scope="module")
async def indexes() -> AsyncGenerator[PackageIndexes]:
    async with package_indexes() as indexes:
        yield indexes


@pytest.fixture(scope="module")
def sockets() -> Generator[Path]:
    """A socket's path ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bk", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
async def stack(
    stacks: Stacks, engine: RealEngine, indexes: PackageIndexes, sockets: Path
) -> AsyncGenerator[EmbeddedStack]:
    image = load(ImageSettings).test_agents_image
    if not engine.client.images.list(name=image):
        pytest.skip(f"docker: the image {image} is needed: make images AGENTS=1")
    manager = {
        "backend": "docker",
        "docker_host": engine.host,
        "executor_image": image,
        "sockets_dir": str(sockets),
        "pypi_url": indexes.pypi_url,
        "pypi_file_hosts": indexes.files_url,
        "npm_url": indexes.npm_url,
    }
    found = await stacks.of({"executor-manager": manager})
    manager_id = (found.home / "services/manager/manager_id").read_text().strip()
    yield found
    await stacks.close()
    await asyncio.to_thread(engine.remove_all, berth_manager=manager_id)


@pytest.fixture
async def egress(stack: EmbeddedStack) -> AsyncGenerator[Any]:
    """Sets the project's policy, for workers that are made from now on."""
    (project,) = (await stack.api.get("/api/v1/projects", ProjectList)).items
    path = f"/api/v1/projects/{project.id}/egress"

    async def put(asked: AskedEgress) -> None:
        await stack.api.put(path, EgressPolicy, asked)

    yield put
    await put(AskedEgress(profile=EgressProfile.NONE))


async def ran(visitor: Visitor, *commands: str, session: UUID | None = None) -> list[ToolResult]:
    """What each printed; the agent and its tools have the same environment."""
    shadow = await visitor.send(script(*({"shell": one} for one in commands)), session=session)
    await visitor.succeeded(shadow, within=STARTED)
    return [one.event for one in shadow.seen if isinstance(one.event, ToolResult)]


def denials(shadow: Shadow) -> list[EgressDenied]:
    return [one.event for one in shadow.seen if isinstance(one.event, EgressDenied)]


async def test_pip_install__just_works(
    visitor: Visitor, egress: Any, indexes: PackageIndexes
) -> None:
    await egress(PACKAGES)
    installed, imported = await ran(
        visitor,
        "python3 -m venv v && v/bin/pip install berth-greeting",
        "v/bin/python -c 'import berth_greeting; print(berth_greeting.TEXT)'",
    )
    assert "Successfully installed berth-greeting-1.0" in installed.output
    assert imported.output.strip() == GREETING
    assert indexes.targets("pypi") == ["/simple/berth-greeting/"]
    assert len(indexes.targets("files")) == 1
    assert indexes.credentials == []


async def test_pip_install__without_a_venv_goes_below_home(visitor: Visitor, egress: Any) -> None:
    await egress(PACKAGES)
    installed, imported = await ran(
        visitor,
        "pip3 install berth-greeting",
        "/usr/bin/env python3 -c 'import berth_greeting; print(berth_greeting.TEXT)'",
    )
    assert "Successfully installed berth-greeting-1.0" in installed.output
    assert imported.output.strip() == GREETING


async def test_npm_install__just_works(
    visitor: Visitor, egress: Any, indexes: PackageIndexes
) -> None:
    await egress(PACKAGES)
    installed, required, locked = await ran(
        visitor,
        "npm init -y >/dev/null && npm install @berth/greeting",
        "node -p 'require(\"@berth/greeting\")'",
        "cat package-lock.json",
    )
    assert "added 2 packages" in installed.output
    assert required.output.strip() == NPM_GREETING
    assert set(indexes.targets("npm")) == {
        "/@berth%2fgreeting",
        "/@berth/greeting/-/greeting-1.0.0.tgz",
        "/berth-greeting",
        "/berth-greeting/-/berth-greeting-1.0.0.tgz",
    }
    assert "sha512-" in locked.output


async def test_what_indexes_do_not_grant__is_refused_and_an_event(
    visitor: Visitor, egress: Any, indexes: PackageIndexes
) -> None:
    await egress(PACKAGES)
    asked = [
        ("PUT", "/npm/berth-greeting", "{}"),
        ("POST", "/pypi/legacy/", "x"),
        ("GET", "/pypi/pypi/berth-greeting/json", ""),
        ("GET", "/git/git.example.org/berth/docs.git/info/refs", ""),
    ]
    before = len(indexes.asked)
    lines = "; ".join(f"python3 ask.py {method} {path} '{body}'" for method, path, body in asked)
    steps = [{"write": {"path": "ask.py", "content": IN_PYTHON}}, {"shell": f"{lines}; sleep 2"}]
    shadow = await visitor.send(script(*steps))
    await visitor.succeeded(shadow, within=STARTED)
    printed = [one.event.output for one in shadow.seen if isinstance(one.event, ToolResult)][-1]
    assert printed.split() == ["403"] * 4
    assert len(indexes.asked) == before
    await shadow.kind("security.egress_denied", count=4)
    told = {(one.upstream, one.method, one.path): one.rule for one in denials(shadow)}
    assert told == {
        ("npm", "PUT", "/npm/berth-greeting"): "method",
        ("pypi", "POST", "/pypi/legacy/"): "method",
        ("pypi", "GET", "/pypi/pypi/berth-greeting/json"): "path",
        ("git", "GET", "/git/git.example.org/berth/docs.git/info/refs"): "unknown_upstream",
    }


async def test_a_host_that_is_not_named__is_refused_and_an_event(
    visitor: Visitor, egress: Any
) -> None:
    await egress(CUSTOM)
    asking = "import urllib.request as u; u.urlopen('https://evil.example.org/x')"
    command = f'python3 -c "{asking}"; sleep 2'
    shadow = await visitor.send(script({"shell": command}))
    await visitor.succeeded(shadow, within=STARTED)
    await shadow.kind("security.egress_denied")
    (told,) = denials(shadow)
    assert (told.upstream, told.method) == ("tunnel", "CONNECT")
    assert (told.host, told.port) == ("evil.example.org", 443)
    assert told.rule


async def test_without_a_policy__tools_are_told_of_no_way(visitor: Visitor) -> None:
    told, tried = await ran(
        visitor,
        "env",
        "pip3 install --retries 0 --timeout 2 berth-greeting; npm ping --fetch-retries=0; true",
    )
    assert "/pypi/" not in told.output
    assert "registry" not in told.output
    assert "proxy" not in told.output.lower()
    assert "Successfully" not in tried.output
