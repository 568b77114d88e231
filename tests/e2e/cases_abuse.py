"""A session that uses up what it can (faults, group G): its limits hold, and its neighbour goes on.

Each case abuses a session with small limits, while another session's short runs go on; then the
abused session itself does a run as if nothing had been. The oracle comes after.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from docker.errors import APIError
from docker.models.containers import Container

from contracts.events import RunRetrying, RunWarning
from contracts.reasons import Reason
from contracts.runs import Run
from contracts.session_workers import PatchSessionWorker
from tests.e2e import abuses
from tests.e2e.abused import WITHIN, Abused, told
from tests.e2e.canaries import worker_token
from tests.e2e.cases import Case, Scene
from tests.e2e.engine import threaded
from tests.e2e.snapshots import head
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

MIB = 1024 * 1024
DEADLINE = 480.0
ROOMY = PatchSessionWorker(cpus=0.5, memory_mib=192, pids=77, disk_mib=320, keep_warm=True)
"""A disk that is larger than the memory."""
CALLS = 600
"""In a minute, while they are counted: fewer than a loaded machine can make."""
FLOODING = 32
REFUSALS = 20
SPAM_MIB = 60


class Abuse(Abused):
    def cases(self) -> list[Case]:
        plays = {
            "a fork bomb, and 100,000 threads": self.processes,
            "all memory, by a tool": self.memory,
            "all memory, until the first process goes": self.first_process,
            "memory by files: /tmp, HOME, shared memory": self.memory_files,
            "files larger than its memory, read again and again": self.page_cache,
            "workspace, root file system": self.disk,
            "two million files": self.files,
            "log spam": self.log,
            "all CPUs, eagerly": self.processors,
            "a million sockets": self.sockets,
            "a flood of callbacks with its own token": self.callbacks,
            "uploads over the limit": self.uploads,
            "a deaf agent, and daemons of daemons": self.deaf,
        }
        return [Case(name=f"abuse: {name}", play=p, deadline=DEADLINE) for name, p in plays.items()]

    async def processes(self, scene: Scene) -> None:
        async with self.abused(scene) as session:
            bomb = await self.done(scene, session, abuses.FORKS)
            container = await self.engine.session(session)
            limits = await self.engine.inspect(container)
            assert limits["HostConfig"]["PidsLimit"] == 77
            assert "forks refused" in told(bomb)
            threads = await self.done(scene, session, abuses.THREADS)
            assert "threads refused" in told(threads)

    async def memory(self, scene: Scene) -> None:
        """A tool's memory is its own end: the run goes on, and says what happened."""
        async with self.abused(scene) as session:
            shadow = await self.done(scene, session, abuses.MEMORY)
            warned = [one.event for one in shadow.seen if isinstance(one.event, RunWarning)]
            assert [one.code for one in warned] == [Reason.OUT_OF_MEMORY], shadow.kinds()

    async def first_process(self, scene: Scene) -> None:
        """Made the kernel's first choice, the executor goes, and its container with it."""
        async with self.abused(scene) as session:
            shadow = await scene.visitor.send(
                script({"write": {"path": "kept", "content": "kept"}}, {"sleep": 300}),
                session=session,
            )
            await shadow.kind("tool.result", within=WITHIN)
            container = await self.engine.session(session)
            offered = await self.engine.run(container, "python3", "-c", abuses.OFFER, uid=0)
            assert offered.code == 0, offered.output
            assert offered.output.strip(), "there is no executor"
            # it may end with the container
            await asyncio.gather(
                self.engine.run(container, "sh", "-c", abuses.FILL_MEMORY), return_exceptions=True
            )
            retrying = (await shadow.kind("run.retrying", within=WITHIN)).event
            assert isinstance(retrying, RunRetrying)
            assert retrying.reason is Reason.OUT_OF_MEMORY, retrying
            await scene.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
            await shadow.closed(within=WITHIN)
            kept = await self.engine.file(await self.engine.session(session), "/workspace/kept")
            assert kept == b"kept"

    async def memory_files(self, scene: Scene) -> None:
        async with self.abused(scene) as session:
            shadow = await self.done(scene, session, abuses.MEMORY_FILES)
            assert told(shadow).count("No space left on device") >= 2, told(shadow)

    async def page_cache(self, scene: Scene) -> None:
        """What the kernel caches for it is counted as its own, and given back when it is short."""
        async with self.abused(scene, ROOMY) as session:
            shadow = await self.done(scene, session, abuses.PAGE_CACHE)
            assert "read it all" in told(shadow), told(shadow)

    async def disk(self, scene: Scene) -> None:
        """A tool's error; all of it is saved, and the disk is said to be the kernel's."""
        async with self.abused(scene) as session:
            shadow = await self.done(scene, session, abuses.DISK)
            assert "No space left on device" in told(shadow)
            assert "Read-only file system" in told(shadow)
            saved = await head(self.stack, session)
            assert saved is not None
            assert 48 * MIB < len(saved.files["filler"]) <= 64 * MIB
            worker = await scene.api.worker(session)
            assert worker is not None
            assert worker.disk in {"image", "quota"}
            await self.done(scene, session, "rm filler")

    async def files(self, scene: Scene) -> None:
        async with self.abused(scene) as session:
            shadow = await self.done(scene, session, abuses.FILES)
            assert "No space left on device" in told(shadow)
            saved = await head(self.stack, session)
            assert saved is not None
            assert len(saved.files) > 1000
            assert (await scene.api.file(session, "f1")).status_code == 200
            # as long as no file can be made, each run warns of it
            await self.done(scene, session, "find . -name 'f*' -delete")

    async def log(self, scene: Scene) -> None:
        async with self.abused(scene) as session:
            container = await self.engine.session(session)
            spam = f"head -c {SPAM_MIB}M /dev/zero | tr '\\0' 'x' | fold -w 200 > /proc/1/fd/1"
            printed = await self.engine.run(container, "sh", "-c", spam, uid=0)
            assert printed.code == 0, printed
            place = Path((await self.engine.inspect(container))["LogPath"]).parent
            logs = [one.stat().st_size for one in place.glob("*-json.log*")]
            assert 0 < sum(logs) < 25 * MIB, logs

    async def processors(self, scene: Scene) -> None:
        """By the engine's own count: no more than its share, however eager it is."""
        async with self.abused(scene) as session:
            container = await self.engine.session(session)
            began, before = time.monotonic(), await self.seconds(container)
            shadow = await self.done(scene, session, abuses.PROCESSORS)
            used = await self.seconds(container) - before
            assert "cannot set niceness" in told(shadow)
            assert used / (time.monotonic() - began) < 0.5 * 1.3

    async def seconds(self, container: Container) -> float:
        stats: Any = await threaded(container.stats, stream=False)
        return stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9

    async def sockets(self, scene: Scene) -> None:
        async with self.abused(scene) as session:
            assert "sockets refused" in told(await self.done(scene, session, abuses.SOCKETS))

    async def callbacks(self, scene: Scene) -> None:
        """Its own token, from outside: refused by rate, and its own reports come through after."""
        usual = self.stack.environments["control-plane"]["BERTH_WORKER_CALLS_PER_MINUTE"]
        await self.stack.set("control-plane", worker_calls_per_minute=str(CALLS))
        try:
            async with self.abused(scene) as session:
                seen = await self.flooded(scene, session)
                statuses = {one.status_code for one in seen}
                assert statuses == {200, 429}, statuses
                refused = next(one for one in seen if one.status_code == 429)
                assert int(refused.headers["retry-after"]) >= 1
                assert refused.json()["code"] == "rate_limited"
        finally:
            await self.stack.set("control-plane", worker_calls_per_minute=usual)

    async def flooded(self, scene: Scene, session: UUID) -> list[httpx.Response]:
        """Until it was refused often enough."""
        worker = await scene.api.worker(session)
        assert worker is not None
        token = await worker_token(self.stack, session)
        url = f"http://{await self.stack.address('control-plane')}:8010"
        path = f"/internal/v1/workers/{worker.id}/callbacks"
        body = {"epoch": worker.epoch, "entries": []}
        seen, refusals = list[httpx.Response](), 0

        async def one(client: httpx.AsyncClient) -> None:
            nonlocal refusals
            while refusals < REFUSALS:
                answer = await client.post(path, json=body)
                refusals += answer.status_code == 429
                seen.append(answer)

        async with (
            asyncio.timeout(WITHIN),
            httpx.AsyncClient(
                base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30
            ) as client,
        ):
            await asyncio.gather(*(one(client) for _ in range(FLOODING)))
        return seen

    async def uploads(self, scene: Scene) -> None:
        """Refused by what is announced, and cut at the limit where nothing is."""
        sent = 0

        async def endless() -> AsyncGenerator[bytes]:
            nonlocal sent
            while sent < 512 * MIB:
                sent += MIB
                yield b"x" * MIB

        async with self.abused(scene):
            assert await self.announced(10 << 30) == 413
            try:
                cut = (await scene.api.raw("POST", "/api/v1/runs", content=endless())).status_code
            except httpx.TransportError:
                cut = 413
            # what the control plane takes, and what three connections hold of what was sent
            assert (cut, sent < 64 * MIB) == (413, True), (cut, sent)

    async def announced(self, size: int) -> int:
        """The status of a request whose body never comes: by what its head says."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stack.port)
        request = (
            f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {self.stack.key}\r\n\r\n"
        )
        try:
            writer.write(request.encode())
            async with asyncio.timeout(30):
                return int((await reader.readline()).split()[1])
        finally:
            writer.close()

    async def deaf(self, scene: Scene) -> None:
        """C14: it ignores SIGTERM, and so does what its tool has left behind, forked twice."""
        async with self.abused(scene) as session:
            steps: list[dict[str, object]] = [
                {"shell": abuses.DAEMON},
                {"write": {"path": "kept", "content": "kept"}},
                {"ignore_sigterm": True},
                {"hang": "deaf"},
            ]
            shadow = await scene.visitor.send(script(*steps), session=session)
            await shadow.kind("tool.result", count=2, within=WITHIN)
            container = await self.engine.session(session)
            assert len(await self.left(container)) >= 2, await self.engine.processes(container)
            await scene.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
            assert await shadow.closed(within=WITHIN) == "canceled"

            async def none_left() -> bool:
                return not await self.left(container)

            await eventually(none_left, "processes of the agent are left")
            saved = await head(self.stack, session)
            assert saved is not None
            assert (saved.files["kept"], saved.files["up"]) == (b"kept", b"up\n")

    async def left(self, container: Container) -> list[str]:
        """Of the agent and of its tool."""
        try:
            found = await self.engine.processes(container)
        except APIError:  # it ended as a whole
            return []
        return [one for one in found if "scripted" in one or abuses.DAEMON_MARK in one]
