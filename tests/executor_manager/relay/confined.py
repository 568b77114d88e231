"""A container like a session's on the real engine, with the real pipe to a relay, or with a gate in
its place that lets everything through: what is asked in the one must be seen in the other.
"""

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import executor.agents.loopback
from chassis.ids import new_id
from executor_manager.containers.docker_configuration import DockerOptions, probe_container
from tests.e2e.engine import AGENT_UID, Engine, threaded
from tests.e2e.inside import Found
from tests.fixtures.deadlines import eventually
from tests.fixtures.engine import BASE_IMAGE

PROBE = (Path(__file__).parents[2] / "e2e/ways.py").read_text()
PIPE = Path(executor.agents.loopback.__file__).read_text()
PIPE_USER = f"{AGENT_UID + 1}:{AGENT_UID}"
PORT = 8119
AGENT_SOCKETS = "/berth/agent"
OPEN_SOCKET = "/tmp/open.sock"
GATE = """
import os, socket, sys, threading
def serve(taking):
    while True:
        client = taking.accept()[0]
        threading.Thread(target=one, args=(client,)).start()
def one(client):
    with client:
        head = b""
        while b"\\r\\n\\r\\n" not in head and (part := client.recv(65536)):
            head += part
        client.sendall(b"HTTP/1.1 200 OK\\r\\nX-Gate: open\\r\\n\\r\\n")
        head.startswith(b"CONNECT") or client.sendall(head)
        while head.startswith(b"CONNECT") and (part := client.recv(65536)):
            client.sendall(b"passed on " + part)
port, path = sys.argv[1:]
ways = (socket.AF_INET, ("127.0.0.1", int(port))), (socket.AF_UNIX, path)
for family, place in ways:
    taking = socket.socket(family)
    taking.bind(place)
    family == socket.AF_UNIX and os.chmod(place, 0o777)
    taking.listen(64)
    threading.Thread(target=serve, args=(taking,)).start()
print("listening", flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Confined:
    engine: Engine
    container: Any
    sockets: list[str]
    told: dict[str, Any] = field(default_factory=dict[str, Any])

    async def asked(self, checks: Iterable[str], *, uid: int = AGENT_UID) -> Found:
        given = {"checks": list(checks), "sockets": self.sockets, "port": PORT, **self.told}
        done = await self.engine.run(
            self.container, "python3", "-I", "-S", "-c", PROBE, json.dumps(given), uid=uid
        )
        assert done.code == 0, done.output[-2000:]
        return json.loads(done.output)


@asynccontextmanager
async def confined(
    engine: Engine, agent_dir: Path | None, told: dict[str, Any]
) -> AsyncGenerator[Confined]:
    """None: by the open gate."""
    path = f"{AGENT_SOCKETS}/agent.sock" if agent_dir else OPEN_SOCKET
    source = PIPE if agent_dir else GATE
    command = ["python3", "-I", "-S", "-c", source, str(PORT), path]
    options = DockerOptions(manager_id=new_id(), image=BASE_IMAGE)
    config = {**probe_container(options, command), "User": PIPE_USER}
    if agent_dir:
        config["HostConfig"]["Binds"] = [f"{agent_dir}:{AGENT_SOCKETS}"]
    api = engine.client.api

    def create() -> Any:
        answer = api._post_json(api._url("/containers/create"), data=config)
        return engine.client.containers.get(api._result(answer, json=True)["Id"])

    container = await threaded(create)
    try:
        await threaded(container.start)

        async def listens() -> bool:
            return b"listening" in await engine.logs(container)

        await eventually(listens, "nothing listens in the container")
        yield Confined(engine=engine, container=container, sockets=[path], told=told)
    finally:
        await threaded(container.remove, force=True, v=True)
