"""Restore plans, signed URLs and side snapshots, on the real object store."""

import base64
import hashlib
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.ids import new_id
from control_plane.domain.packs import session_prefix
from tests.factories import insert_worker, make_session, send
from tests.fixtures.control_plane import Caller, Plane

TOKEN = "bwt-token"


class Executor:
    """What a worker calls."""

    def __init__(self, plane: Plane, session: dict[str, Any], worker_id: UUID) -> None:
        self.session = session
        self.worker_id = worker_id
        self._http = plane.http

    @property
    def prefix(self) -> str:
        return session_prefix(UUID(self.session["project_id"]), UUID(self.session["id"]))

    async def call(self, name: str, **body: Any) -> httpx.Response:
        return await self._http.post(
            f"/internal/v1/workers/{self.worker_id}/{name}",
            json=body,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )

    async def upload(self, content: bytes, purpose: str = "pack") -> dict[str, Any]:
        """Signed, not yet sent."""
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()  # noqa: S324 # what S3 wants
        ask = {"purpose": purpose, "length": len(content), "md5": md5}
        signed = await self.call("uploads", epoch=1, objects=[ask])
        assert signed.status_code == 200, signed.text
        return signed.json()["objects"][0]

    async def uploaded(self, content: bytes, purpose: str = "pack") -> str:
        signed = await self.upload(content, purpose)
        async with httpx.AsyncClient(trust_env=False, timeout=30) as store:
            put = await store.put(signed["url"], content=content, headers=signed["headers"])
        assert put.status_code in (200, 201), put.text
        return signed["key"]


@pytest.fixture
async def executor(plane: Plane, member: Caller) -> Executor:
    session = await make_session(member.http)
    worker_id = await insert_worker(plane.connection, session, token=TOKEN)
    return Executor(plane, session, worker_id)


async def supersede(plane: Plane, executor: Executor) -> None:
    await plane.connection.execute(
        "UPDATE session_workers SET superseded_at = now() WHERE id = $1", executor.worker_id
    )


async def test_upload__is_for_its_bytes_at_a_key_of_the_session(executor: Executor) -> None:
    signed = await executor.upload(b"content")
    assert signed["key"].startswith(f"{executor.prefix}1/")
    assert signed["key"].endswith(".pack")
    key = await executor.uploaded(b"content")
    assert key != signed["key"]
    got = await executor.call("downloads", keys=[key])
    async with httpx.AsyncClient(trust_env=False, timeout=30) as store:
        assert (await store.get(got.json()["objects"][0]["url"])).content == b"content"
        wrong = await store.put(signed["url"], content=b"CONTENT", headers=signed["headers"])
        assert wrong.status_code >= 400


async def test_upload__refuses_another_epoch(executor: Executor) -> None:
    refused = await executor.call("uploads", epoch=2, objects=[
        {"purpose": "pack", "length": 1, "md5": "A" * 22 + "=="}
    ])  # fmt: skip
    assert (refused.status_code, refused.json()["code"]) == (409, "stale_epoch")


async def test_download__of_another_session_is_404(
    plane: Plane, member: Caller, executor: Executor
) -> None:
    other = await make_session(member.http)
    foreign = session_prefix(UUID(other["project_id"]), UUID(other["id"]))
    for key in (
        f"{foreign}1/x.pack",
        f"{executor.prefix}../{foreign}1/x.pack",
        f"{executor.prefix}./x",
        f"{executor.prefix}",
        "p/",
    ):
        refused = await executor.call("downloads", keys=[key])
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), key


async def _snapshot(
    plane: Plane,
    session: dict[str, Any],
    *,
    kind: str,
    epoch: int,
    source_seq: int,
    run_id: str | None = None,
    attempt: int | None = None,
) -> str:
    snapshot_id = new_id()
    await plane.connection.execute(
        "INSERT INTO snapshots (id, project_id, session_id, run_id, attempt, epoch, source_seq,"
        " type, manifest_key, manifest_sha256)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::snapshot_kind, 'key', repeat('0', 64))",
        snapshot_id,
        UUID(session["project_id"]),
        UUID(session["id"]),
        UUID(run_id) if run_id else None,
        attempt,
        epoch,
        source_seq,
        kind,
    )
    if kind == "acknowledged":
        await plane.connection.execute("UPDATE sessions SET head_snapshot_id = $1", snapshot_id)
    return str(snapshot_id)


async def test_plan__is_empty_then_the_head_then_a_newer_checkpoint_first(
    plane: Plane, member: Caller, executor: Executor
) -> None:
    plan = (await executor.call("restore", epoch=1)).json()
    assert (plan["points"], plan["head"]) == ([], None)
    session = executor.session
    run = await send(member.http, session["id"])
    await plane.connection.execute(
        "UPDATE runs SET state = 'claimed', attempt = 2, worker_id = $1", executor.worker_id
    )
    of_run: dict[str, Any] = {"run_id": run["id"], "kind": "checkpoint", "epoch": 1}
    old = await _snapshot(plane, session, source_seq=5, attempt=1, **of_run)
    head = await _snapshot(plane, session, kind="acknowledged", epoch=1, source_seq=10)
    plan = (await executor.call("restore", epoch=1)).json()
    assert [point["snapshot_id"] for point in plan["points"]] == [head]
    newer = await _snapshot(plane, session, source_seq=20, attempt=1, **of_run)
    await _snapshot(plane, session, source_seq=30, attempt=2, **of_run)  # this attempt's own
    plan = (await executor.call("restore", epoch=1)).json()
    assert [point["snapshot_id"] for point in plan["points"]] == [newer, head]
    assert plan["head"] == head
    listed = await member.http.get(f"/api/v1/sessions/{session['id']}/snapshots")
    heads = {item["id"]: item["head"] for item in listed.json()["items"]}
    assert heads[head] is True
    assert heads[old] is False


async def test_superseded__may_save_aside_and_nothing_else(
    plane: Plane, member: Caller, executor: Executor
) -> None:
    manifest = await executor.uploaded(b"{}", "manifest")
    draft = {
        "id": str(new_id()),
        "type": "side",
        "parent": None,
        "manifest_key": manifest,
        "manifest_sha256": hashlib.sha256(b"{}").hexdigest(),
        "files": 1,
        "bytes": 2,
    }
    early = await executor.call("side-snapshot", snapshot=draft)
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    await supersede(plane, executor)
    for name, body in [
        ("restore", {"epoch": 1}),
        ("downloads", {"keys": [manifest]}),
        ("callbacks", {"epoch": 1, "entries": []}),
    ]:
        refused = await executor.call(name, **body)
        assert (refused.status_code, refused.json()["code"]) == (409, "stale_epoch"), name
    spool = await executor.uploaded(b"spool", "spool")
    for _ in range(2):
        saved = await executor.call("side-snapshot", snapshot=draft, spool_key=spool)
        assert saved.status_code == 200, saved.text
    rows = await plane.connection.fetch("SELECT type::text AS type, spool_key FROM snapshots")
    assert [tuple(row.values()) for row in rows] == [("side", spool)]
    events = await plane.connection.fetch("SELECT kind, epoch FROM events ORDER BY seq")
    assert [tuple(row.values()) for row in events][1:] == [("workspace.saved", 1)]
    session = await member.http.get(f"/api/v1/sessions/{executor.session['id']}")
    assert session.json()["head_snapshot_id"] is None


async def test_side_snapshot__names_what_was_uploaded_under_its_own_prefix(
    plane: Plane, executor: Executor
) -> None:
    await supersede(plane, executor)
    draft = {
        "id": str(uuid4()),
        "type": "side",
        "parent": None,
        "manifest_sha256": "0" * 64,
        "files": 1,
        "bytes": 1,
    }
    for key in (f"{executor.prefix}1/absent.manifest", "p/elsewhere/s/x/1/a.manifest"):
        refused = await executor.call("side-snapshot", snapshot={**draft, "manifest_key": key})
        assert refused.status_code == 400
        assert refused.json()["details"]["field"] == "manifest_key"
