"""Health, readiness, version, queue, and the API's description."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from chassis import health
from chassis.auth import generate_signing_key, hash_token
from control_plane.app import ROUTES, build_app, openapi_json
from control_plane.bootstrap import bootstrap
from tests.factories import make_session, register_manager, send
from tests.fixtures.control_plane import Caller, Plane, plane_settings
from tests.fixtures.object_store import StoreServer
from tests.fixtures.serving import serving

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


@pytest.fixture
def patient_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there has answered, however busy it is."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 25.0)


@pytest.mark.usefixtures("patient_checks")
async def test_health__needs_no_key(plane: Plane) -> None:
    for path in ("/healthz", "/api/v1/healthz", "/readyz", "/metrics", "/api/v1/version"):
        assert (await plane.http.get(path)).status_code == 200, path
    ready = (await plane.http.get("/readyz")).json()
    assert ready["checks"] == ["database", "object_store"]
    version = (await plane.http.get("/api/v1/version")).json()
    assert (version["service"], version["api"]) == ("control_plane", "v1")


async def test_queue__counts_what_is_not_over(
    plane: Plane, member: Caller, stranger: Caller
) -> None:
    session = await make_session(member.http)
    for _ in range(3):
        await send(member.http, session["id"])
    queue = (await member.http.get("/api/v1/system/queue")).json()
    assert queue["states"] == {"queued": 1, "pending": 2}
    assert queue["oldest_queued_seconds"] >= 0
    assert (await stranger.http.get("/api/v1/system/queue")).json()["states"] == {}
    await register_manager(plane.connection, {"scripted": ""})
    (manager,) = (await member.http.get("/api/v1/system/worker")).json()["managers"]
    assert (manager["agents"], manager["workers"]) == ({"scripted": ""}, 0)


@pytest.mark.usefixtures("patient_checks")
async def test_readiness__names_what_is_missing_and_how_to_get_it(
    database_url: str, object_store_server: StoreServer
) -> None:
    _, public = generate_signing_key()
    settings = plane_settings(
        database_url, object_store_server, public, object_store_bucket="no-such-bucket"
    )
    async with (
        serving(build_app(settings)) as url,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        answer = await http.get(f"{url}/readyz")
    assert answer.status_code == 503
    (missing,) = answer.json()["details"]["missing"]
    assert missing["what"] == "object_store"
    assert missing["how"] == "create the bucket no-such-bucket"


async def test_bootstrap__is_idempotent_and_its_key_works(
    plane: Plane, clean_database: str
) -> None:
    made = [
        msgspec.json.decode(text)
        for text in await asyncio.gather(
            *(
                bootstrap(clean_database, project="default", user="admin", key_name="first")
                for _ in range(2)
            )
        )
    ]
    assert made[0]["project_id"] == made[1]["project_id"]
    assert made[0]["user_id"] == made[1]["user_id"]
    assert made[0]["key"] != made[1]["key"]
    found = await plane.app.services.keys.introspect(hash_token(made[0]["key"]))
    assert found.active
    streams = await plane.connection.fetch("SELECT id::text, kind::text FROM streams")
    assert [tuple(row.values()) for row in streams] == [(made[0]["project_id"], "project")]


def test_openapi__is_what_is_committed() -> None:
    assert COMMITTED.read_bytes() == openapi_json(), "run `make openapi`"


async def test_openapi__is_served_and_whole(plane: Plane) -> None:
    answer = await plane.http.get("/openapi.json")
    assert answer.content == openapi_json()
    described = answer.json()
    assert described["openapi"].startswith("3.1")
    schemas = described["components"]["schemas"]
    kinds = schemas["Event"]["discriminator"]["mapping"]
    assert {"run.queued", "message.delta", "task.transitioned"} <= set(kinds)
    assert _references(described) <= {f"#/components/schemas/{name}" for name in schemas}
    stream = described["paths"]["/api/v1/runs/{run_id}/stream"]["get"]["responses"]["200"]
    assert list(stream["content"]) == ["text/event-stream"]
    posted = described["paths"]["/api/v1/runs"]["post"]["responses"]
    assert set(posted["200"]["content"]) == {"application/json", "text/event-stream"}
    ids = [one["operationId"] for item in described["paths"].values() for one in item.values()]
    assert len(ids) == len(set(ids))
    public = {path for handler in ROUTES for path in handler.paths if "/internal" not in path}
    worker = "/api/v1/session-workers/{session_id}"
    changes = ("workspace/mkdir", "workspace/rename", "workspace/upload")
    of_gateway = {f"{worker}/{one}" for one in (*changes, "logs", "tty", "tty/exec")}
    assert of_gateway <= set(described["paths"])
    assert len(described["paths"]) == len(public) + len(of_gateway)


def test_openapi__a_body_that_comes_as_a_stream_is_described() -> None:
    paths = msgspec.json.decode(openapi_json())["paths"]
    described = {one["operationId"]: one for item in paths.values() for one in item.values()}
    streams = [
        handler.fn.__name__
        for handler in ROUTES
        if "RequestBody(" in inspect.getsource(inspect.unwrap(handler.fn))
        and not any(path.startswith("/internal") for path in handler.paths)
    ]
    assert {"import_session", "import_tree"} <= set(streams)
    for name in streams:
        assert described[name]["requestBody"]["content"], name


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set[str]()
        return found.union(*(_references(value) for value in node.values()))
    if isinstance(node, list):
        return set[str]().union(*(_references(value) for value in node))
    return set()
