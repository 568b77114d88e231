"""A probe carried into a container and asked there: as the agent by its own tool, or from outside
with any uid.
"""

import base64
import json
import shlex
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from docker.models.containers import Container

from tests.e2e.canaries import held_by, needles
from tests.e2e.engine import Engine, spelled, threaded
from tests.e2e.stack import Stack
from tests.system.visitor import Visitor, script

PROBE, ESCAPES = ((Path(__file__).parent / name).read_text() for name in ("probe.py", "escapes.py"))
EVERYWHERE = ("169.254.169.254:80", "169.254.170.2:80", "8.8.8.8:53", "1.1.1.1:443")
EVERYWHERE_6 = ("2606:4700:4700::1111", "fd00:ec2::254")
NAMES = ["postgres", "s3", "gateway", "control-plane", "host.docker.internal", "example.com"]

SECRETS = ("environ", "cmdline", "files", "memory")
NETWORK = ("interfaces", "tcp", "udp", "names", "raw")
POWERS = ("capabilities", "privileges", "seccomp", "processes", "devices", "engine", "writing")
AGENTS = ("doors", "signals", "tracing", "identity", "becoming")
"""What only the agent's uid may not: the container's root is the executor's own."""
HOLES = ("calls", "spaces", "switches", "hidden", "nodes", "gains", "grants", "lasting", "sockets",
         "listeners", "neighbours")  # fmt: skip
FILTERED = ("rings", "families")
"""What the executor's own filter refuses besides the engine's: to all that it starts."""
OWN_SOCKETS = ("/berth/agent/agent.sock", "/berth/control/executor.sock",
               "/berth/control/relay.sock")  # fmt: skip
"""That only one of them opens to the agent is what `doors` finds."""

Found = dict[str, list[str]]


@dataclass(frozen=True)
class Question:
    """What a probe is told."""

    secrets: dict[str, str] = field(default_factory=dict[str, str])
    addresses: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    async def of(self, checks: Iterable[str], container: Container) -> str:
        changes = await threaded(container.diff) or []
        return json.dumps(
            {
                "checks": list(checks),
                "needles": needles(self.secrets),
                "addresses": self.addresses,
                "names": NAMES,
                "changed": [change["Path"] for change in changes],
                "allowed": OWN_SOCKETS,
            }
        )


async def addresses_of(stack: Stack) -> list[tuple[str, int]]:
    """The stack's services, every bridge of this host, and what clouds and the internet have."""
    found = [(one.rpartition(":")[0], int(one.rpartition(":")[2])) for one in EVERYWHERE]
    found += [(one, 80) for one in EVERYWHERE_6]
    ports = {"postgres": 5432, "s3": 9000, "gateway": 8080, "control-plane": 8010}
    for service, port in {**ports, "executor-manager": 8020}.items():
        found.append((await stack.address(service), port))
    for network in await threaded(stack.engine.client.networks.list, greedy=True):
        for config in (network.attrs["IPAM"] or {}).get("Config") or []:
            if gateway := config.get("Gateway"):
                found += [(gateway, 53), (gateway, 2375), (gateway, stack.port)]
    return found


async def asked_outside(
    engine: Engine, container: Container, question: Question, checks: Iterable[str], *, uid: int
) -> Found:
    """A process that the engine starts in the container."""
    found: Found = {}
    for source, some in _sources(checks):
        argument = await question.of(some, container)
        told = await engine.run(container, "python3", "-I", "-S", "-c", source, argument, uid=uid)
        assert told.code == 0, told.output[-2000:]
        found |= json.loads(told.output)
    return found


async def asked_by_agent(
    visitor: Visitor, engine: Engine, session: UUID, question: Question, checks: Iterable[str]
) -> Found:
    """The agent's own tool: the probe comes in a prompt and its answer stays in the workspace."""
    found: Found = {}
    for source, some in _sources(checks):
        name = f"probe-{uuid.uuid4().hex}"
        packed = base64.b64encode(source.encode()).decode()
        container = await engine.session(session)
        argument = shlex.quote(await question.of(some, container))
        unpack = f"base64 -d > {name}.py <<'END'\n{packed}\nEND\n"
        command = f"{unpack}python3 -I -S {name}.py {argument} > {name}.json"
        shadow = await visitor.send(script({"shell": command}), session=session)
        await visitor.succeeded(shadow, within=90)
        answer = await engine.file(container, f"/workspace/{name}.json")
        assert answer, shadow.kinds()
        found |= json.loads(answer)
    return found


def _sources(checks: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Which probe is asked what."""
    wanted = list(checks)
    holes = [one for one in wanted if one in {*HOLES, *FILTERED}]
    others = [one for one in wanted if one not in holes]
    return [(source, some) for source, some in ((PROBE, others), (ESCAPES, holes)) if some]


async def seen_outside(engine: Engine, container: Container, question: Question) -> Found:
    """What whoever may ask the engine is shown of it."""
    shown = spelled(await engine.inspect(container)).encode()
    return {
        "inspect": _held(question, shown),
        "logs": _held(question, await engine.logs(container)),
    }


def _held(question: Question, content: bytes) -> list[str]:
    return held_by(question.secrets, content)


def configuration(inspected: dict[str, Any]) -> dict[str, Any]:
    """To make one like it: of the image's and the engine's own, what was asked for."""
    host = {
        name: value
        for name, value in inspected["HostConfig"].items()
        if name not in {"Mounts", "Binds", "ContainerIDFile"} and value is not None
    }
    config = inspected["Config"]
    return {
        "Image": config["Image"],
        "User": config["User"],
        "Env": list(config["Env"]),
        "Cmd": ["python3", "-c", "import time\nwhile True: time.sleep(60)"],
        "Labels": {},
        "HostConfig": host,
    }
