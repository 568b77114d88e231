"""A worker as the relay speaks for it: what it is granted, and what was told of it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from contracts.egress import EgressPolicy, EgressProfile, GitRepository
from tests.control_plane.git.repositories import HOST, TOKEN, USERNAME
from tests.factories import insert_worker, make_session, send
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.deadlines import eventually

SPOILT = "spoilt.example.test"
WORKER_TOKEN = "bwt_the-workers-own-token"


def repository(path: str, *, host: str = HOST, push: bool = False) -> GitRepository:
    return GitRepository(host=host, path=path, push=push)


@dataclass
class Worker:
    plane: Plane
    owner: Caller
    session: dict[str, Any]
    id: UUID
    http: httpx.AsyncClient
    """With its token, below its git's path."""

    @property
    def project(self) -> str:
        return f"/api/v1/projects/{self.session['project_id']}"

    @property
    def credentials(self) -> str:
        return f"{self.project}/git-credentials"

    async def grant(self, *repositories: GitRepository) -> EgressPolicy:
        policy = EgressPolicy(profile=EgressProfile.CUSTOM, repositories=list(repositories))
        body = {
            "profile": "custom",
            "repositories": [
                {"host": one.host, "path": one.path, "push": one.push} for one in repositories
            ],
        }
        put = await self.owner.http.put(f"{self.project}/egress", json=body)
        assert put.status_code == 200, put.text
        return policy

    async def credential(self, host: str = HOST, token: str = TOKEN) -> None:
        body = {"username": USERNAME, "token": token}
        put = await self.owner.http.put(f"{self.credentials}/{host}", json=body)
        assert put.status_code == 200, put.text

    async def refs(
        self, path: str, *, host: str = HOST, service: str = "git-upload-pack", **headers: str
    ) -> httpx.Response:
        target = f"/{host}/{path}/info/refs?service={service}"
        return await self.http.get(target, headers=headers)

    async def denials(self, count: int) -> list[dict[str, Any]]:
        """Once so many were told in its session's log."""

        async def look() -> list[dict[str, Any]] | None:
            shown = await self.owner.http.get(
                f"/api/v1/sessions/{self.session['id']}/events",
                params={"kind": "security.egress_denied", "limit": 200},
            )
            assert shown.status_code == 200, shown.text
            found = [one["event"] for one in shown.json()["items"]]
            return found if sum(one["count"] for one in found) >= count else None

        return await eventually(look, f"{count} denials are told")

    async def audited(self, action: str) -> list[dict[str, Any]]:
        shown = await self.owner.http.get("/api/v1/audit")
        assert shown.status_code == 200, shown.text
        return [one for one in shown.json()["items"] if one["action"] == action]


async def make_worker(plane: Plane, owner: Caller) -> Worker:
    session = await make_session(owner.http)
    run = await send(owner.http, session["id"])
    worker_id = await insert_worker(plane.connection, session, token=WORKER_TOKEN)
    await plane.connection.execute(
        "UPDATE runs SET state = 'running', worker_id = $2, attempt = 1 WHERE id = $1",
        UUID(run["id"]),
        worker_id,
    )
    http = httpx.AsyncClient(
        base_url=f"{plane.url}/internal/v1/workers/{worker_id}/git",
        headers={"Authorization": f"Bearer {WORKER_TOKEN}"},
        trust_env=False,
        timeout=30,
    )
    return Worker(plane, owner, session, worker_id, http)
