"""A worker as the relay speaks for it, and what was booked of its calls."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from tests.factories import insert_worker, make_session, send
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.deadlines import eventually
from tests.fixtures.scripted_model import request_of

FORMATS = ["messages", "responses", "chat", "embeddings"]
MODELS = ["m", "scripted-1"]
PATHS = {
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
}
TOKEN = "bwt_the-workers-own-token"


@dataclass
class Worker:
    plane: Plane
    owner: Caller
    session: dict[str, Any]
    id: UUID
    run_id: str
    http: httpx.AsyncClient
    """With its token, below its models' path."""

    @property
    def upstreams(self) -> str:
        return f"/api/v1/projects/{self.session['project_id']}/model-upstreams"

    async def upstream(self, name: str = "scripted", **body: Any) -> dict[str, Any]:
        whole = {"formats": FORMATS, "models": MODELS, **body}
        put = await self.owner.http.put(f"{self.upstreams}/{name}", json=whole)
        assert put.status_code == 200, put.text
        return put.json()

    async def lead(self, url: str, **body: Any) -> None:
        """All of its calls go there."""
        await self.upstream(url=url, key="sk-another-key", **body)

    async def ask(self, path: str, text: str = "hello", **more: Any) -> httpx.Response:
        return await self.http.post(path, json=request_of(path, text, **more))

    @contextlib.asynccontextmanager
    async def streamed(self, path: str, text: str, **more: Any) -> AsyncGenerator[httpx.Response]:
        body = request_of(path, text, stream=True, **more)
        async with self.http.stream("POST", path, json=body) as answer:
            yield answer

    async def calls(self, **query: str) -> list[dict[str, Any]]:
        """As the API shows them, the newest first."""
        shown = await self.owner.http.get(
            "/api/v1/model-calls", params={"session_id": self.session["id"], **query}
        )
        assert shown.status_code == 200, shown.text
        return shown.json()["items"]

    async def booked(self, state: str, *, count: int = 1) -> list[dict[str, Any]]:
        """Once there are so many in this state, and none is open."""

        async def look() -> list[dict[str, Any]] | None:
            found = await self.calls()
            ended = [call for call in found if call["state"] == state]
            is_open = any(call["state"] == "open" for call in found)
            return ended if len(ended) == count and not is_open else None

        return await eventually(look, f"{count} calls are {state}")


async def make_worker(plane: Plane, owner: Caller) -> Worker:
    session = await make_session(owner.http)
    run = await send(owner.http, session["id"])
    worker_id = await insert_worker(plane.connection, session, token=TOKEN)
    await plane.connection.execute(
        "UPDATE runs SET state = 'running', worker_id = $2, attempt = 3 WHERE id = $1",
        UUID(run["id"]),
        worker_id,
    )
    http = httpx.AsyncClient(
        base_url=f"{plane.url}/internal/v1/workers/{worker_id}/models",
        headers={"Authorization": f"Bearer {TOKEN}"},
        trust_env=False,
        timeout=30,
    )
    return Worker(plane, owner, session, worker_id, run["id"], http)


async def until(holds: Callable[[], Awaitable[Any]], otherwise: str) -> Any:
    return await eventually(holds, otherwise)
