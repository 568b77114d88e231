"""A Docker Engine, asked from outside: its own lists, and what is inside its containers."""

import asyncio
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import docker
from docker.errors import NotFound
from docker.models.containers import Container

AGENT_UID = 10001
CALL_SECONDS = 60

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    code: int
    output: str


async def threaded(call: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
    return await asyncio.to_thread(call, *values, **named)


class Engine:
    def __init__(self, host: str) -> None:
        self.host = host
        self.client: Any = docker.DockerClient(host, timeout=CALL_SECONDS)

    def close(self) -> None:
        self.client.close()

    async def containers(self, *labels: str, alive: bool = False) -> list[Container]:
        """Newest first; `labels` as NAME or NAME=VALUE. One that goes meanwhile is none."""
        asked = {"all": not alive, "filters": {"label": list(labels)}, "ignore_removed": True}
        return await threaded(self.client.containers.list, **asked)

    async def sessions(
        self, session: UUID | None = None, *, alive: bool = False
    ) -> list[Container]:
        """The containers of one session, or of all."""
        labels = ["berth.role=session"]
        labels += [f"berth.session={session}"] if session else []
        return await self.containers(*labels, alive=alive)

    async def session(self, session: UUID) -> Container:
        """Its newest one."""
        found = await self.sessions(session)
        assert found, f"the engine has no container of session {session}"
        return max(found, key=lambda one: int(one.labels["berth.epoch"]))

    async def inspect(self, container: Container) -> dict[str, Any]:
        return await threaded(self.client.api.inspect_container, container.id)

    async def run(
        self, container: Container, *command: str, uid: int = AGENT_UID, given: str = ""
    ) -> Done:
        """A process in the container, with that uid; `given` becomes its variable GIVEN."""
        run: Any = container.exec_run
        code, output = await threaded(
            run,
            list(command),
            user=f"{uid}:{uid}",
            environment={"GIVEN": given} if given else {},
            workdir="/",
        )
        return Done(int(code), output.decode(errors="replace"))

    async def file(self, container: Container, path: str) -> bytes | None:
        """Of a running or a stopped container; None: it has no such file."""
        return (await self.files(container, path)).get(path.rpartition("/")[2])

    async def files(self, container: Container, path: str) -> dict[str, bytes]:
        """By name, of a directory; of a file itself alone."""

        def read() -> dict[str, bytes]:
            try:
                stream, _ = container.get_archive(path)
            except NotFound:
                return {}
            found: dict[str, bytes] = {}
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                for member in archive.getmembers():
                    content = None if member.issym() else archive.extractfile(member)
                    if content is not None:
                        found[member.name.rpartition("/")[2]] = content.read()
            return found

        return await threaded(read)

    async def processes(self, container: Container) -> list[str]:
        """Their command lines, as the host sees them."""
        top = await threaded(self.client.api.top, container.id, "-eo pid,args")
        return [" ".join(row[1:]) for row in top["Processes"] or []]

    async def kill9(self, container: Container) -> None:
        await threaded(container.kill, "SIGKILL")

    async def address(self, container: Container) -> str:
        """As this host reaches it."""
        networks = (await self.inspect(container))["NetworkSettings"]["Networks"]
        return next(one["IPAddress"] for one in networks.values() if one["IPAddress"])

    async def logs(self, container: Container, *, tail: int | str = 4000) -> bytes:
        """`tail`: lines, or `all`."""
        logs: Any = container.logs
        return await threaded(logs, tail=tail, timestamps=True)


def spelled(value: object) -> str:
    """Of an `inspect`: as one text, to look for words in."""
    return json.dumps(value, default=str)
