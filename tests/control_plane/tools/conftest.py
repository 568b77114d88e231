"""A worker with a live run, and its own way to the tools."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.factories import insert_worker, make_session, make_task
from tests.fixtures.control_plane import Caller, Plane

TOKEN = "bwt_of_a_worker"


@dataclass
class Agent:
    """As its relay lets it through."""

    plane: Plane
    session_id: UUID
    task_id: UUID
    run_id: UUID
    worker_id: UUID
    http: httpx.AsyncClient

    @property
    def path(self) -> str:
        return f"/internal/v1/workers/{self.worker_id}/tools/mcp"

    async def post(self, body: Any, *, version: str | None = "2025-06-18") -> httpx.Response:
        """`body`: bytes as they are, anything else as JSON."""
        headers = {"content-type": "application/json"}
        if version is not None:
            headers["mcp-protocol-version"] = version
        if isinstance(body, bytes):
            return await self.http.post(self.path, content=body, headers=headers)
        return await self.http.post(self.path, json=body, headers=headers)

    async def ask(self, method: str, params: Any = None, **changes: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 7, "method": method}
        if params is not None:
            request["params"] = params
        answered = await self.post(request | changes)
        assert answered.status_code == 200, answered.text
        return answered.json()

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments})


@pytest.fixture
async def agent(plane: Plane, member: Caller) -> AsyncGenerator[Agent]:
    session = await make_session(member.http)
    task = await make_task(member.http, session_id=session["id"])
    ran = await member.http.post(f"/api/v1/tasks/{task['id']}/run", json={})
    assert ran.status_code == 202, ran.text
    worker_id = await insert_worker(plane.connection, session, token=TOKEN)
    run_id = UUID(ran.json()["id"])
    await plane.connection.execute(
        "UPDATE runs SET state = 'running', started_at = now(), worker_id = $2 WHERE id = $1",
        run_id,
        worker_id,
    )
    async with httpx.AsyncClient(
        base_url=plane.url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        trust_env=False,
        timeout=60,
    ) as http:
        yield Agent(plane, UUID(session["id"]), UUID(task["id"]), run_id, worker_id, http)
