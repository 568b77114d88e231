"""A project's model upstreams, and the calls that were booked, through the public API."""

from typing import Literal
from uuid import UUID

from contracts.models import ModelCall, ModelCallPage, ModelUpstream, PutModelUpstream, WireFormat
from contracts.projects import ProjectList
from tests.agents.model import URL, ModelServer
from tests.e2e.client import Client

FORMATS: list[WireFormat] = ["messages", "responses", "chat"]
DEFAULT, OTHER = "scripted-1", "scripted-2"
KEYLESS, WRONG = "keyless-1", "wrong-1"
"""Models for which the project has no key, no upstream takes one without, and a wrong key."""
CROWD = "crowd-1"
"""Asked by nobody else, so that the ledger tells whose its lines are."""


async def project_of(api: Client) -> UUID:
    (project,) = (await api.get("/api/v1/projects", ProjectList)).items
    return project.id


async def set_up(api: Client, model: ModelServer) -> None:
    """The upstream that works first: a run without a model gets its first model."""
    project = await project_of(api)
    await put(api, project, "a-model", models=[DEFAULT, OTHER, CROWD], key=model.key)
    await put(api, project, "wrong-key", models=[WRONG], key="sk-not-this-one")


async def put(
    api: Client,
    project: UUID,
    name: str,
    *,
    models: list[str],
    key: str,
    auth: Literal["bearer", "x-api-key"] = "bearer",
) -> ModelUpstream:
    path = f"/api/v1/projects/{project}/model-upstreams/{name}"
    body = PutModelUpstream(url=URL, formats=FORMATS, models=models, key=key, auth=auth)
    return await api.put(path, ModelUpstream, body)


async def calls(api: Client, **query: object) -> list[ModelCall]:
    """All that were booked, oldest first; `session_id`, `state` and the like narrow it."""
    found: list[ModelCall] = []
    cursor: str | None = None
    while True:
        page = await api.get(
            "/api/v1/model-calls", ModelCallPage, limit=200, cursor=cursor, **query
        )
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return sorted(found, key=lambda one: (one.started_at, one.id))
