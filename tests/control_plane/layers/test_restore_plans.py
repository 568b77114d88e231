"""What a restore would do, told without doing it; what workers are told to lay over."""

import hashlib
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
import zstandard
from blake3 import blake3

from chassis.ids import new_id
from chassis.objects import ObjectStore
from control_plane.services import layers
from snapshots.manifest import ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from snapshots.paths import order
from tests.control_plane.layers.shelf import Files
from tests.factories import insert_worker, make_session
from tests.fixtures.control_plane import Caller, Plane

TOKEN = "bwt-token"


async def app_with(owner: Caller, **manifest: Any) -> str:
    body = {"name": str(new_id()), "agent": "scripted", "runtime_manifest": manifest}
    made = await owner.http.post("/api/v1/apps", json=body)
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def plan(caller: Caller, **body: Any) -> Any:
    return await caller.http.post("/api/v1/runs/restore-plan", json=body)


async def saved(
    plane: Plane, objects: ObjectStore, session: dict[str, Any], files: dict[str, bytes]
) -> None:
    """A head with these files, in a pack, and the directories above them."""
    prefix = f"p/{UUID(session['project_id']).hex}/s/{UUID(session['id']).hex}/1/"
    content, items = b"", list[Item]()
    above = {p.rpartition("/")[0] for p in files if "/" in p}
    for path in sorted(above):
        items.append(Item(path.encode(), Kind.DIRECTORY, 0o755, 1))
    for path, one in files.items():
        frame = zstandard.ZstdCompressor().compress(one)
        part = Part(len(one), blake3(one).digest(), 0, len(content), len(frame), 0)
        parts = (part,) if one else ()
        items.append(Item(path.encode(), Kind.FILE, 0o644, 1, size=len(one), parts=parts))
        content += frame
    pack_key = f"{prefix}{new_id()}.pack"
    await objects.put(pack_key, content)
    writer = ManifestWriter()
    for item in sorted(items, key=lambda item: order(item.path)):
        writer.add(item)
    stored = writer.finish([Pack(pack_key, len(content))], [])
    await head(plane, objects, session, stored)


async def head(plane: Plane, objects: ObjectStore, session: dict[str, Any], stored: bytes) -> None:
    """With this manifest."""
    session_id = UUID(session["id"])
    manifest_key = (
        f"p/{UUID(session['project_id']).hex}/s/{UUID(session['id']).hex}/1/{new_id()}.manifest"
    )
    await objects.put(manifest_key, stored)
    snapshot_id = new_id()
    await plane.connection.execute(
        "INSERT INTO snapshots (id, project_id, session_id, manifest_key, manifest_sha256, epoch,"
        " type, source_seq) SELECT $1, $2, $3, $4, $5, 1, 'acknowledged', count(*) FROM snapshots",
        snapshot_id,
        UUID(session["project_id"]),
        session_id,
        manifest_key,
        hashlib.sha256(stored).hexdigest(),
    )
    await plane.connection.execute(
        "UPDATE sessions SET head_snapshot_id = $2 WHERE id = $1", session_id, snapshot_id
    )


@pytest.fixture
def files(owner: Caller, project_id: UUID) -> Files:
    return Files(owner, project_id)


async def test_plan__of_a_new_session_names_each_layer_with_its_size(
    owner: Caller, files: Files
) -> None:
    await files.put("template/src/main.py", b"print()")
    await files.put("shared/guide.md", b"hello")
    app = await app_with(
        owner,
        runtime_version="2.1",
        seed_files=[
            {"path": "/workspace/app", "source": "template"},
            {"path": "/workspace/NOTES.md", "text": "hi"},
        ],
        mount_points=[{"path": "/workspace/shared", "source": "shared"}],
        cleanup_rules=[{"path": "/workspace/tmp", "pattern": "*.lock"}],
        required_paths=["/workspace/app/src/main.py", "/workspace/shared/guide.md"],
        protected_paths=["/workspace/app"],
    )
    answer = await plan(owner, app_id=app)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    told = [(one["layer"], one["what"], one["path"], one["bytes"]) for one in found["layers"]]
    assert told == [
        ("L0", "runtime", "", 0),
        ("L1", "seed", "/workspace/app", 7),
        ("L1", "seed", "/workspace/NOTES.md", 2),
        ("L2", "mount", "/workspace/shared", 5),
        ("L4", "cleanup", "/workspace/tmp", 0),
        ("L4", "protect", "/workspace/app", 0),
    ]
    assert (found["conflicts"], found["blocked"], found["bytes"]) == ([], None, 14)


async def test_plan__what_is_required_and_missing_is_422(owner: Caller, files: Files) -> None:
    await files.put("a")
    asked = {"required_paths": ["/workspace/.berth/project/a", "/workspace/not/there"]}
    answer = await plan(owner, runtime_manifest=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "required_paths_missing")
    assert answer.json()["details"]["missing"] == ["/workspace/not/there"]
    cleaned = {**asked, "cleanup_rules": [{"path": "/workspace/.berth/nothing"}]}
    refused = await plan(owner, runtime_manifest=cleaned)
    assert (refused.status_code, refused.json()["details"]["rule"]) == (400, "reserved")


async def test_plan__a_bad_path_is_400_with_the_path_and_the_rule(owner: Caller) -> None:
    answer = await plan(owner, runtime_manifest={"required_paths": ["/etc/passwd"]})
    details = answer.json()["details"]
    assert answer.status_code == 400
    assert (details["path"], details["rule"]) == ("/etc/passwd", "under_workspace")
    assert details["field"] == "runtime_manifest.required_paths[0]"


@pytest.mark.parametrize(
    ("policy", "outcome", "blocked"),
    [
        ("keep_session", "kept", None),
        ("replace", "replaced", None),
        ("fail", "fails", "layer_conflict"),
    ],
)
async def test_plan__conflicts_of_a_session_go_by_the_policy(  # noqa: PLR0917  # fixtures, and a table
    plane: Plane,
    owner: Caller,
    object_store: ObjectStore,
    policy: str,
    outcome: str,
    blocked: str | None,
) -> None:
    app = await app_with(
        owner,
        conflict_policy=policy,
        seed_files=[
            {"path": "/workspace/own.txt", "text": "seed"},
            {"path": "/workspace/given.txt", "text": "seed"},
            {"path": "/workspace/new.txt", "text": "seed"},
        ],
        mount_points=[{"path": "/workspace/docs"}],
    )
    session = await make_session(owner.http, app_id=app)
    record = {"seeds": ["/workspace/given.txt"], "runtime_version": "1"}
    await saved(
        plane,
        object_store,
        session,
        {
            ".berth/layers.json": msgspec.json.encode(record),
            "docs/mine": b"1",
            "given.txt": b"edited",
            "own.txt": b"own",
        },
    )
    answer = await plan(owner, session_id=session["id"])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    told = {(one["path"], one["outcome"]) for one in found["conflicts"]}
    assert told == {("/workspace/own.txt", outcome), ("/workspace/docs", outcome)}
    assert found["blocked"] == blocked
    assert found["runtime"]["saved"] == "1"
    assert [one["files"] for one in found["layers"] if one["layer"] == "L3"] == [4]


async def test_plan__a_newer_runtime_blocks(
    plane: Plane, owner: Caller, object_store: ObjectStore
) -> None:
    app = await app_with(owner, runtime_version="1.4", required_paths=["/workspace/not/there"])
    session = await make_session(owner.http, app_id=app)
    record = msgspec.json.encode({"runtime_version": "2"})
    await saved(plane, object_store, session, {".berth/layers.json": record})
    found = (await plan(owner, session_id=session["id"])).json()
    assert (found["runtime"]["verdict"], found["blocked"]) == ("refused", "runtime_too_old")


@pytest.mark.parametrize("said", ["nonsense", "1..2", "9" * 5000, "1." * 100_000])
async def test_plan__a_version_that_an_agent_made_up_is_none(
    plane: Plane, owner: Caller, object_store: ObjectStore, said: str
) -> None:
    app = await app_with(owner, runtime_version="1.4")
    session = await make_session(owner.http, app_id=app)
    record = msgspec.json.encode({"runtime_version": said})
    await saved(plane, object_store, session, {".berth/layers.json": record})
    answer = await plan(owner, session_id=session["id"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["runtime"] == {"saved": "", "app": "1.4", "verdict": "fits"}


@pytest.mark.parametrize("lie", ["segment", "hole"])
async def test_plan__of_a_manifest_that_lies_is_told(
    plane: Plane, owner: Caller, object_store: ObjectStore, lie: str
) -> None:
    """In what is looked up, before all items are walked."""
    session = await make_session(owner.http)
    writer = ManifestWriter()
    parts = (Part(1 << 50),)
    writer.add(Item(b".berth", Kind.DIRECTORY, 0o755, 1))
    writer.add(Item(b".berth/layers.json", Kind.FILE, 0o644, 1, size=10, parts=parts))
    stored = bytearray(writer.finish([], []))
    if lie == "segment":
        stored[10:14] = b"\0\0\0\0"
    await head(plane, object_store, session, bytes(stored))
    answer = await plan(owner, session_id=session["id"])
    assert answer.json()["code"] == "snapshot_damaged", answer.text


async def test_plan__of_a_damaged_head_is_of_what_comes_before_it(
    plane: Plane, owner: Caller, object_store: ObjectStore
) -> None:
    session = await make_session(owner.http)
    await saved(plane, object_store, session, {"whole": b"1"})
    before = await plane.connection.fetchval("SELECT head_snapshot_id FROM sessions")
    await saved(plane, object_store, session, {"whole": b"2", "more": b"3"})
    await plane.connection.execute(
        "UPDATE snapshots SET damaged_at = now(), damage = 'a pack', parent = $1"
        " WHERE id = (SELECT head_snapshot_id FROM sessions)",
        before,
    )
    found = (await plan(owner, session_id=session["id"])).json()
    assert (found["snapshot_id"], found["files"]) == (str(before), 1)


async def test_plan__what_is_replaced_brings_no_required_path(
    plane: Plane, owner: Caller, object_store: ObjectStore
) -> None:
    required = ["/workspace/docs/mine", "/workspace/a/inner", "/workspace/docs", "/workspace/a"]
    app = await app_with(
        owner,
        conflict_policy="replace",
        mount_points=[{"path": "/workspace/docs"}],
        seed_files=[{"path": "/workspace/a", "text": "a file"}],
        required_paths=required,
    )
    session = await make_session(owner.http, app_id=app)
    await saved(plane, object_store, session, {"docs/mine": b"1", "a/inner": b"1"})
    answer = await plan(owner, session_id=session["id"])
    assert answer.status_code == 422
    assert answer.json()["details"]["missing"] == required[:2]


async def test_plan__the_same_files_at_many_places_are_bounded(
    owner: Caller, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        await files.put(name)
    mounts = [{"path": f"/workspace/{number}"} for number in range(3)]
    assert (await plan(owner, runtime_manifest={"mount_points": mounts})).status_code == 200
    monkeypatch.setattr(layers, "MOST_FILES", 8)
    answer = await plan(owner, runtime_manifest={"mount_points": mounts})
    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == "runtime_manifest.mount_points[2]"


async def test_plan__changes_nothing(plane: Plane, owner: Caller, files: Files) -> None:
    await files.put("a")
    session = await make_session(owner.http)

    async def counts() -> list[int]:
        tables = ("runs", "session_workers", "snapshots", "events", "audit", "project_files")
        queries = [f"SELECT count(*) FROM {table}" for table in tables]  # noqa: S608  # of a list
        return [await plane.connection.fetchval(query) for query in queries]

    before = await counts()
    assert (await plan(owner, session_id=session["id"])).status_code == 200
    assert await counts() == before


async def test_plan__of_others_is_not_found(plane: Plane, owner: Caller) -> None:
    session = await make_session(owner.http)
    app = await app_with(owner)
    other = await plane.project("other")
    stranger = await plane.caller((other, "owner"))
    assert (await plan(stranger, session_id=session["id"])).status_code == 404
    assert (await plan(stranger, app_id=app)).status_code == 404


async def worker_call(plane: Plane, worker_id: UUID, name: str, **body: Any) -> httpx.Response:
    return await plane.http.post(
        f"/internal/v1/workers/{worker_id}/{name}",
        json={"epoch": 1, **body},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )


async def test_worker__is_told_layers_that_everybody_may_read(
    plane: Plane, owner: Caller, files: Files
) -> None:
    for path in ("open", "shut/a", ".env", "dir/.env"):
        await files.put(path, path.encode())
    await files.rules({"prefix": "shut", "read": "member", "write": "member"})
    app = await app_with(
        owner,
        mount_points=[
            {"path": "/workspace/all"},
            {"path": "/workspace/settings", "source": ".env"},
            {"path": "/workspace/none", "source": "shut/a"},
        ],
    )
    session = await make_session(owner.http, app_id=app)
    worker_id = await insert_worker(plane.connection, session, token=TOKEN)
    told = await worker_call(plane, worker_id, "restore")
    assert told.status_code == 200, told.text
    layers = {one["path"]: one for one in told.json()["layers"]}
    names = [one["path"] for one in layers["/workspace/all"]["files"]]
    assert names == ["dir", "open"]
    assert [one["path"] for one in layers["/workspace/settings"]["files"]] == [""]
    assert layers["/workspace/none"]["files"] == []
    key = layers["/workspace/settings"]["files"][0]["key"]
    signed = (await worker_call(plane, worker_id, "downloads", keys=[key])).json()["objects"][0]
    async with httpx.AsyncClient(trust_env=False) as store:
        assert (await store.get(signed["url"])).content == b".env"


async def test_worker__gets_nothing_of_another_projects_files(plane: Plane, owner: Caller) -> None:
    other = await plane.project("other")
    theirs = Files(await plane.caller((other, "owner")), other)
    await theirs.put("a")
    key = await plane.connection.fetchval("SELECT key FROM project_objects")
    session = await make_session(owner.http)
    worker_id = await insert_worker(plane.connection, session, token=TOKEN)
    for asked in (key, f"p/{UUID(session['project_id']).hex}/f/../../{key}"):
        refused = await worker_call(plane, worker_id, "downloads", keys=[asked])
        assert refused.status_code == 404
    assert (await worker_call(plane, worker_id, "restore")).json()["layers"] == []


async def test_app__keeps_changes_and_forgets_its_manifest(owner: Caller) -> None:
    app = await app_with(owner, required_paths=["/workspace/a"])
    path = f"/api/v1/apps/{app}"
    renamed = (await owner.http.patch(path, json={"name": "b"})).json()
    assert renamed["runtime_manifest"]["required_paths"] == ["/workspace/a"]
    refused = await owner.http.patch(
        path, json={"runtime_manifest": {"protected_paths": ["/workspace/../etc"]}}
    )
    assert refused.json()["details"]["rule"] == "plain_parts"
    gone = await owner.http.patch(path, json={"runtime_manifest": None})
    assert gone.json()["runtime_manifest"] is None
    unknown = await owner.http.patch(path, json={"runtime_manifest": {"mounts": []}})
    assert unknown.status_code == 400
