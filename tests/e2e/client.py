"""The API as a program outside sees it: what the `berth` command's client lacks, with our clock."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import msgspec

from cli.client import ApiClient, Place, Refused
from cli.sse import frames, lines_of
from contracts.events import LogEntry, WorkerStep
from contracts.log import LogPage
from contracts.managers import StopAnswer
from contracts.session_workers import PatchSessionWorker, SessionWorker, SessionWorkerSettings
from contracts.sessions import CreateSession, Session
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow, Visitor

AGENT = "scripted"


class Client(ApiClient):
    async def session(self) -> Session:
        return await self.post("/api/v1/sessions", Session, CreateSession(agent=AGENT))

    async def limits(self, session: UUID, wanted: PatchSessionWorker) -> SessionWorkerSettings:
        path = f"/api/v1/session-workers/{session}"
        return await self._call("PATCH", path, SessionWorkerSettings, body=wanted)

    async def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        """For refusals: nothing is raised for a status."""
        return await self.http.request(method, path, **options)

    async def file(self, session: UUID, path: str) -> httpx.Response:
        """One file of the session's workspace, through the gateway."""
        place = f"/api/v1/session-workers/{session}/workspace/file"
        return await self.http.get(place, params={"path": path})

    async def worker(self, session: UUID) -> SessionWorker | None:
        """The current one."""
        try:
            found = await self.get(f"/api/v1/session-workers/{session}", SessionWorker)
        except Refused as refusal:
            if refusal.problem.status == 404:
                return None
            raise
        return found if found.current else None

    async def stop_worker(self, session: UUID) -> None:
        """Saved, stopped, and not the session's any more."""

        async def granted() -> bool:
            path = f"/api/v1/session-workers/{session}/stop"
            try:
                return (await self.post(path, StopAnswer)).granted
            except Refused as refusal:
                if refusal.problem.status == 409:
                    return False  # its run has ended for clients, not yet for the worker
                raise

        async def gone() -> bool:
            return await self.worker(session) is None

        if await self.worker(session) is not None:
            await eventually(granted, "the worker may not stop")
            await eventually(gone, "the worker does not stop", within=60)

    async def log(self, path: str) -> list[Any]:
        """All pages of a run's or a session's events."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.get(f"{path}/events", LogPage, limit=200, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


@asynccontextmanager
async def client(url: str, key: str) -> AsyncGenerator[Client]:
    async with Client(Place(url=url, key=key)) as found:
        yield found


async def ready_again(api: Client, session: UUID, *, after: int = 0) -> None:
    """Until this client saw the session's `worker.step ready` behind event `after`."""
    path = f"/api/v1/sessions/{session}/stream"
    headers = {"Accept": "text/event-stream"}
    async with asyncio.timeout(60), api.http.stream("GET", path, headers=headers) as response:
        assert response.is_success, await response.aread()
        async with aclosing(frames(lines_of(response.aiter_raw()))) as found:
            async for frame in found:
                if frame.event == "worker.step" and _is_ready(frame.data, after):
                    return
    raise AssertionError("the session's stream ended before its worker was ready")


def _is_ready(line: str, after: int) -> bool:
    entry = msgspec.json.decode(line, type=LogEntry)
    step = entry.event
    return isinstance(step, WorkerStep) and step.step == "ready" and entry.seq > after


async def send_timed(
    visitor: Visitor, api: Client, text: str, *, session: UUID | None = None
) -> tuple[Shadow, float]:
    """Milliseconds from the POST until this client saw `worker.step ready`: a new container, the
    workspace in it, the executor ready to run.
    """
    after = (
        0 if session is None else (await api.get(f"/api/v1/sessions/{session}", Session)).last_seq
    )
    began = time.monotonic()
    shadow = await visitor.send(text, session=session)
    await ready_again(api, visitor.session_of(shadow), after=after)
    return shadow, (time.monotonic() - began) * 1000
