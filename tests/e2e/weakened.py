"""Containers like a session's, each with one thing done wrong on purpose: a check that stays green
in all of them would prove nothing.
"""

import base64
import urllib.parse
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from docker.models.containers import Container

from tests.e2e.engine import AGENT_UID, Engine, threaded
from tests.e2e.inside import Question
from tests.fixtures.deadlines import eventually

Config = dict[str, Any]
Change = Callable[[Config, Question], None]
Prepare = Callable[[Engine, Container, Question], Awaitable[None]]

VOLUMES = ("/workspace", "/berth/spool", "/berth/control", "/berth/agent")
"""A new volume takes the owner and mode of the image's directory."""
KMSG = {"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "r"}
HOLD = """
import mmap, os, sys, time
secret = bytes.fromhex(sys.argv[1])[::-1]
if sys.argv[2] == "mapped":
    descriptor = os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.ftruncate(descriptor, 4096)
    held = mmap.mmap(descriptor, 4096)
    held[: len(secret)] = secret
    os.close(descriptor)
else:
    held = bytearray(secret)
open("/tmp/held", "w").close()
time.sleep(600)
"""


@dataclass(frozen=True, kw_only=True)
class Weakness:
    name: str
    check: str
    """The one that must find it."""
    change: Change = lambda _config, _question: None
    prepare: Prepare | None = None
    uid: int = AGENT_UID


def secret_of(question: Question) -> str:
    return question.secrets["api-key"]


def host(**values: Any) -> Change:
    def change(config: Config, _question: Question) -> None:
        config["HostConfig"].update(values)

    return change


def _environment(config: Config, question: Question) -> None:
    config["Env"].append(f"MODEL_KEY={secret_of(question)}")


def _encoded_environment(config: Config, question: Question) -> None:
    secret = base64.b64encode(f"x{secret_of(question)}".encode()).decode()
    config["Env"].append(f"MODEL_KEY={secret}")


def _argument(config: Config, question: Question) -> None:
    config["Cmd"].append(urllib.parse.quote(secret_of(question), safe=""))


def _label(config: Config, question: Question) -> None:
    config["Labels"]["token"] = secret_of(question)[::-1]


def _as_agent(config: Config, _question: Question) -> None:
    config["User"] = f"{AGENT_UID}:{AGENT_UID}"


def _no_init(config: Config, _question: Question) -> None:
    config["HostConfig"].update(PidMode="host", Init=False)


def shell(command: str, *, uid: int = 0) -> Prepare:
    async def prepare(engine: Engine, container: Container, question: Question) -> None:
        done = await engine.run(
            container, "sh", "-c", command, uid=uid, given=secret_of(question)[::-1]
        )
        assert done.code == 0, done.output

    return prepare


def holding(how: str, *, uid: int) -> Prepare:
    async def prepare(engine: Engine, container: Container, question: Question) -> None:
        turned = secret_of(question)[::-1].encode().hex()
        run: Any = container.exec_run
        await threaded(run, ["python3", "-c", HOLD, turned, how], user=f"{uid}:{uid}", detach=True)

        async def held() -> bool:
            return not (await engine.run(container, "test", "-e", "/tmp/held")).code

        await eventually(held, "nobody holds the secret")

    return prepare


OPEN = "chmod 755 /berth/control && chmod 755 /berth/spool"

WEAKNESSES = [
    Weakness(name="a key in the environment", check="environ", change=_environment),
    Weakness(name="a key in the environment", check="inspect", change=_environment),
    Weakness(
        name="an encoded key in the environment", check="environ", change=_encoded_environment
    ),
    Weakness(name="a key among the arguments", check="cmdline", change=_argument),
    Weakness(name="a key in a label", check="inspect", change=_label),
    Weakness(
        name="a key in a file of the agent's",
        check="files",
        prepare=shell('printf "%s" "$GIVEN" > /workspace/notes', uid=AGENT_UID),
    ),
    Weakness(
        name="a key in a file of the executor's",
        check="files",
        prepare=shell('printf "%s" "$GIVEN" > /berth/spool/notes'),
        uid=0,
    ),
    Weakness(
        name="a key beside the image",
        check="files",
        change=host(ReadonlyRootfs=False),
        prepare=shell('printf "%s" "$GIVEN" > /usr/bin/notes'),
        uid=0,
    ),
    Weakness(
        name="a key in the log",
        check="logs",
        prepare=shell('printf "%s\\n" "$GIVEN" > /proc/1/fd/1'),
    ),
    Weakness(
        name="a key in the agent's memory",
        check="memory",
        prepare=holding("plain", uid=AGENT_UID),
    ),
    Weakness(
        name="a key in a mapped file without a name",
        check="memory",
        prepare=holding("mapped", uid=0),
        uid=0,
    ),
    Weakness(name="a bridge network", check="interfaces", change=host(NetworkMode="bridge")),
    Weakness(name="a bridge network", check="tcp", change=host(NetworkMode="bridge")),
    Weakness(name="a bridge network", check="tcp", change=host(NetworkMode="bridge"), uid=0),
    Weakness(name="a bridge network", check="udp", change=host(NetworkMode="bridge")),
    Weakness(name="a network with names", check="names", change=host(NetworkMode="front")),
    Weakness(
        name="raw sockets",
        check="raw",
        change=host(NetworkMode="bridge", CapAdd=["NET_RAW", "SETUID", "SETGID", "KILL"]),
        uid=0,
    ),
    Weakness(name="open directories", check="doors", prepare=shell(OPEN)),
    Weakness(
        name="the engine's socket",
        check="engine",
        change=host(Binds=["/var/run/docker.sock:/var/run/docker.sock"]),
    ),
    Weakness(name="an agent that is root", check="signals", uid=0),
    Weakness(name="an agent that is root", check="tracing", uid=0),
    Weakness(name="an agent that is root", check="identity", uid=0),
    Weakness(name="an agent that is root", check="becoming", uid=0),
    Weakness(name="an agent that is root", check="doors", uid=0),
    Weakness(name="every default capability", check="capabilities", change=host(CapDrop=[])),
    Weakness(name="every default capability", check="capabilities", change=host(CapDrop=[]), uid=0),
    Weakness(name="new privileges", check="privileges", change=host(SecurityOpt=[])),
    Weakness(
        name="no seccomp",
        check="seccomp",
        change=host(SecurityOpt=["no-new-privileges", "seccomp=unconfined"]),
    ),
    Weakness(name="the host's processes", check="processes", change=_no_init),
    Weakness(
        name="a root that can be written", check="writing", change=host(ReadonlyRootfs=False), uid=0
    ),
    Weakness(name="a device of the host", check="devices", change=host(Devices=[KMSG])),
]


@asynccontextmanager
async def like(engine: Engine, config: Config) -> AsyncGenerator[Container]:
    """A container of that configuration, with empty directories of its own, started."""
    config["HostConfig"]["Mounts"] = [{"Type": "volume", "Target": target} for target in VOLUMES]
    api = engine.client.api

    def create() -> Container:
        # by the engine's own words: the SDK's knows some of them only
        answer = api._post_json(api._url("/containers/create"), data=config)
        return engine.client.containers.get(api._result(answer, json=True)["Id"])

    container = await threaded(create)
    try:
        await threaded(container.start)
        yield container
    finally:
        await threaded(container.remove, force=True, v=True)
