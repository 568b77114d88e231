"""What tests arrange over the API and in the control plane's tables."""

from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec

from chassis.auth import hash_token
from chassis.ids import new_id


async def make_session(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    made = await http.post("/api/v1/sessions", json=body)
    assert made.status_code == 201, made.text
    return made.json()


async def send(http: httpx.AsyncClient, session_id: str, text: str = "hello") -> dict[str, Any]:
    sent = await http.post(f"/api/v1/sessions/{session_id}/messages", json={"text": text})
    assert sent.status_code == 202, sent.text
    return sent.json()


async def make_task(http: httpx.AsyncClient, title: str = "task", **body: Any) -> dict[str, Any]:
    made = await http.post("/api/v1/tasks", json={"title": title, **body})
    assert made.status_code == 201, made.text
    return made.json()


async def register_manager(connection: asyncpg.Connection, agents: dict[str, str]) -> UUID:
    """`agents`: what is missing, by name; empty: it can run."""
    manager_id = new_id()
    await connection.execute(
        "INSERT INTO managers (id, name, backend, max_workers, agents)"
        " VALUES ($1, 'host', 'process', 4, $2::jsonb)",
        manager_id,
        msgspec.json.encode(agents).decode(),
    )
    return manager_id


async def insert_worker(
    connection: asyncpg.Connection, session: dict[str, Any], *, token: str, epoch: int = 1
) -> UUID:
    """A current worker of this session, with its manager."""
    worker_id = new_id()
    await connection.execute(
        "INSERT INTO session_workers"
        " (id, project_id, session_id, epoch, manager_id, state, token_hash, lease_until)"
        " VALUES ($1, $2, $3, $4, $5, 'busy', $6, now() + interval '1 minute')",
        worker_id,
        UUID(session["project_id"]),
        UUID(session["id"]),
        epoch,
        await register_manager(connection, {"scripted": ""}),
        hash_token(token),
    )
    return worker_id


async def end_run(connection: asyncpg.Connection, run_id: str, state: str = "succeeded") -> None:
    """As a finish leaves it, without the line's events."""
    await connection.execute(
        "UPDATE runs SET state = $2::text::run_state, finished_at = now() WHERE id = $1",
        UUID(run_id),
        state,
    )
