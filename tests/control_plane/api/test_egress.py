"""What sessions may reach: who sets it, what is refused, what managers are given; denials told."""

from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from contracts.egress import EgressHost, EgressPolicy, EgressProfile, TellDenials
from contracts.managers import AgentOffer, Claim, Heartbeat, Register, WorkerReportedState
from contracts.workers import WorkerGrant, WorkerState
from control_plane.store import egress as store
from tests.factories import insert_worker, make_session, register_manager, send
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.guards import perhaps_without, query_of

CUSTOM: dict[str, Any] = {
    "profile": "custom",
    "packages": True,
    "hosts": [{"host": "api.example.org", "port": 8443}, {"host": "*.example.com", "port": 443}],
    "repositories": [{"host": "git.example.org", "path": "berth/*", "push": True}],
    "mib_per_hour": 10,
}
NONE: dict[str, Any] = {
    "profile": "none",
    "packages": False,
    "hosts": [],
    "repositories": [],
    "mib_per_hour": None,
}


def path_of(project_id: UUID) -> str:
    return f"/api/v1/projects/{project_id}/egress"


async def test_policy__is_nothing_until_an_owner_says_otherwise_and_audited(
    owner: Caller, member: Caller, project_id: UUID
) -> None:
    path = path_of(project_id)
    assert (await member.http.get(path)).json() == NONE
    put = await owner.http.put(path, json=CUSTOM)
    assert (put.status_code, put.json()) == (200, CUSTOM)
    assert (await owner.http.put(path, json=CUSTOM)).json() == CUSTOM
    assert (await member.http.get(path)).json() == CUSTOM
    assert (await owner.http.put(path, json={"profile": "none"})).json() == NONE
    told = (await owner.http.get("/api/v1/audit")).json()["items"]
    assert [(one["action"], one["target"], one["detail"]) for one in told] == [
        ("egress.put", str(project_id), NONE),
        ("egress.put", str(project_id), CUSTOM),
    ]


async def test_policy__is_for_owners_to_set(
    owner: Caller, member: Caller, stranger: Caller, project_id: UUID
) -> None:
    path = path_of(project_id)
    assert (await member.http.put(path, json=CUSTOM)).status_code == 403
    for asked in (await stranger.http.get(path), await stranger.http.put(path, json=CUSTOM)):
        assert (asked.status_code, asked.json()["code"]) == (404, "project_not_found")
    assert (await owner.http.get(path)).json() == NONE


HOSTS = "a host's name in lower case"
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"profile": "all"}, "profile", "one of none, packages, custom"),
    ({}, "profile", "one of none, packages, custom"),
    ({"profile": "none", "packages": True}, "packages", "false: it goes with the profile custom"),
    ({"profile": "packages", "mib_per_hour": 1}, "mib_per_hour", "null: it goes with"),
    ({"profile": "custom", "mib_per_hour": 0}, "mib_per_hour", "a whole number from 1 to"),
    ({"profile": "packages", "hosts": [{"host": "a.example"}]}, "hosts", "an empty list"),
    (
        {"profile": "none", "repositories": [{"host": "a.example", "path": "b"}]},
        "repositories",
        "an empty list",
    ),
    ({"profile": "custom", "rules": True}, "rules", "no such field"),
    *(
        ({"profile": "custom", "hosts": [{"host": host}]}, "hosts[0].host", expected)
        for host, expected in [
            ("*.com", HOSTS),
            ("*.co.uk", "a name below co.uk"),
            ("*.github.io", "a name below github.io"),
            ("*.s3.amazonaws.com", "a name below s3.amazonaws.com"),
            ("127.0.0.1", HOSTS),
            ("[::1]", HOSTS),
            ("localhost", HOSTS),
            ("API.example.org", HOSTS),
            ("a.example.org.", HOSTS),
            ("a.*.example.org", HOSTS),
            ("a.example.org:443", HOSTS),
            ("https://a.example.org", HOSTS),
        ]
    ),
    (
        {"profile": "custom", "hosts": [{"host": "a.example", "port": 0}]},
        "hosts[0].port",
        "a whole number from 1 to 65535",
    ),
    (
        {"profile": "custom", "hosts": [{"host": "a.example"}, {"host": "a.example", "port": 443}]},
        "hosts[1]",
        "another one than hosts[0]",
    ),
    (
        {
            "profile": "custom",
            "repositories": [
                {"host": "a.example", "path": "b"},
                {"host": "a.example", "path": "b", "push": True},
            ],
        },
        "repositories[1]",
        "another one than repositories[0]",
    ),
    *(
        (
            {"profile": "custom", "repositories": [{"host": host, "path": path}]},
            f"repositories[0].{field}",
            expected,
        )
        for host, path, field, expected in [
            ("*.example.org", "b", "host", "one host's whole name, without *"),
            ("a.example", "b.git", "path", "the repository's path without .git at its end"),
            ("a.example", "../b", "path", "a repository as in its URL"),
            ("a.example", "/b", "path", "a repository as in its URL"),
            ("a.example", "b/*/c", "path", "a repository as in its URL"),
            ("a.example", "b?x", "path", "a repository as in its URL"),
        ]
    ),
]


@pytest.mark.parametrize(("body", "field", "expected"), WRONG)
async def test_policy__what_is_wrong_is_named_with_what_would_be_right(
    owner: Caller, project_id: UUID, body: dict[str, Any], field: str, expected: str
) -> None:
    refused = await owner.http.put(path_of(project_id), json=body)
    of_app = await owner.http.post(
        "/api/v1/apps", json={"name": "a", "agent": "scripted", "egress": body}
    )
    for answer, within in ((refused, ""), (of_app, "egress.")):
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
        details = answer.json()["details"]
        assert details["field"] == within + field
        assert details["expected"].startswith(expected)


async def test_app__has_its_own_changed_and_taken_away(owner: Caller) -> None:
    body = {"name": "a", "agent": "scripted", "egress": {"profile": "packages"}}
    app = (await owner.http.post("/api/v1/apps", json=body)).json()
    assert app["egress"] == NONE | {"profile": "packages"}
    path = f"/api/v1/apps/{app['id']}"
    assert (await owner.http.patch(path, json={"name": "b"})).json()["egress"] == app["egress"]
    closed = (await owner.http.patch(path, json={"egress": {"profile": "none"}})).json()
    assert closed["egress"] == NONE, "its own, not none of its own"
    assert (await owner.http.get("/api/v1/apps")).json()["items"] == [closed]
    assert (await owner.http.patch(path, json={"egress": None})).json()["egress"] is None


async def granted(plane: Plane) -> WorkerGrant:
    """What a manager is given with the next run."""
    manager = await register_manager(plane.connection, {"scripted": ""})
    claim = Claim(incarnation=1, claim_id=uuid4(), free=5, agents=["scripted"])
    claims = plane.app.services.claims
    (run,) = await claims.claim_now(manager, claim)
    (again,) = await claims.claim_now(manager, claim)
    assert again.worker.egress == run.worker.egress, "a claim that is repeated"
    assert again.worker.egress_version == run.worker.egress_version
    registered = await plane.app.services.managers.register(
        Register(
            manager_id=manager,
            name="m",
            backend="process",
            max_workers=4,
            agents=[AgentOffer(agent="scripted")],
        )
    )
    (live,) = registered.workers
    assert live.egress == run.worker.egress, "a manager that comes back"
    assert live.egress_version == run.worker.egress_version
    return live


async def test_grant__has_the_apps_policy_else_the_projects(
    plane: Plane, owner: Caller, project_id: UUID
) -> None:
    await owner.http.put(path_of(project_id), json=CUSTOM)
    body = {"name": "a", "agent": "scripted", "egress": {"profile": "none"}}
    closed = (await owner.http.post("/api/v1/apps", json=body)).json()
    plain = await owner.http.post("/api/v1/apps", json={"name": "b", "agent": "scripted"})
    found: list[EgressPolicy] = []
    for app in (closed["id"], plain.json()["id"], None):
        session = await make_session(owner.http, app_id=app)
        await send(owner.http, session["id"])
        found.append((await granted(plane)).egress)
    project = msgspec.convert(CUSTOM, EgressPolicy)
    assert found == [EgressPolicy(), project, project]


async def test_heartbeat__tells_a_policy_that_changed_until_the_manager_has_it(
    plane: Plane, owner: Caller, project_id: UUID
) -> None:
    await owner.http.put(path_of(project_id), json=CUSTOM)
    session = await make_session(owner.http)
    await send(owner.http, session["id"])
    worker = await granted(plane)
    manager = await plane.connection.fetchval(
        "SELECT manager_id FROM session_workers WHERE id = $1", worker.worker_id
    )
    managers = plane.app.services.managers

    async def told(version: str) -> tuple[EgressPolicy | None, str]:
        state = WorkerReportedState(
            worker_id=worker.worker_id,
            epoch=1,
            state=WorkerState.BUSY,
            answered=True,
            egress_version=version,
        )
        answer = await managers.heartbeat(manager, Heartbeat(incarnation=2, workers=[state]))
        return answer.workers[0].egress, answer.workers[0].egress_version

    assert await told(worker.egress_version) == (None, "")
    fewer = {"profile": "custom", "hosts": [{"host": "api.example.org"}]}
    await owner.http.put(path_of(project_id), json=fewer)
    now, version = await told(worker.egress_version)
    host = EgressHost(host="api.example.org")
    assert now == EgressPolicy(profile=EgressProfile.CUSTOM, hosts=[host])
    assert await told(worker.egress_version) == (now, version), "the answer was lost"
    assert await told(version) == (None, "")
    assert await told("") == (None, ""), "a manager of a former version"


# --- denials -----------------------------------------------------------------------------------

DENIAL: dict[str, Any] = {
    "upstream": "tunnel",
    "method": "CONNECT",
    "host": "evil.example",
    "port": 443,
    "rule": "host_not_named",
    "count": 3,
    "at": "2026-01-01T12:00:00Z",
}


async def tell(
    plane: Plane, worker_id: UUID, *denials: dict[str, Any], batch: UUID | None = None
) -> httpx.Response:
    body = {"batch_id": str(batch or uuid4()), "denials": list(denials)}
    return await plane.http.post(
        f"/internal/v1/workers/{worker_id}/denials",
        json=body,
        headers={"Authorization": "Bearer bwt1"},
    )


async def events(plane: Plane, session: dict[str, Any]) -> list[dict[str, Any]]:
    rows = await plane.connection.fetch(
        "SELECT payload, run_id::text, attempt, epoch FROM events"
        " WHERE stream_id = $1 AND kind LIKE 'security.%' ORDER BY seq",
        UUID(session["id"]),
    )
    return [dict(row.items()) | {"event": msgspec.json.decode(row["payload"])} for row in rows]


@pytest.mark.parametrize("guarded", [True, False])
async def test_denials__of_a_batch_are_told_once(
    plane: Plane, member: Caller, *, guarded: bool
) -> None:
    session = await make_session(member.http)
    worker_id = await insert_worker(plane.connection, session, token="bwt1")
    batch = uuid4()

    def remove(patch: pytest.MonkeyPatch) -> None:
        guard = " AND NOT $2::uuid = ANY(told_denials)"
        changed = store.QUERIES["take_denials"].replace(guard, "")
        assert changed != store.QUERIES["take_denials"]
        queries = {**store.QUERIES, "take_denials": changed}
        patch.setattr(store, "QUERIES", MappingProxyType(queries))

    with perhaps_without(remove, guarded=guarded):
        for _ in range(2):
            answer = await tell(plane, worker_id, DENIAL, batch=batch)
            assert answer.status_code == 200, answer.text
    told = await events(plane, session)
    assert len(told) == (1 if guarded else 2)
    assert told[0]["event"] == {
        "kind": "security.egress_denied",
        **{name: value for name, value in DENIAL.items() if name != "at"},
        "path": "",
        "last_at": DENIAL["at"],
    }
    assert (await tell(plane, worker_id, DENIAL)).status_code == 200
    assert len(await events(plane, session)) == len(told) + 1


async def test_denials__are_of_the_run_that_is_live(plane: Plane, owner: Caller) -> None:
    session = await make_session(owner.http)
    run = await send(owner.http, session["id"])
    worker = await granted(plane)
    await plane.connection.execute(
        "UPDATE session_workers SET token_hash = encode(sha256('bwt1'), 'hex') WHERE id = $1",
        worker.worker_id,
    )
    assert (await tell(plane, worker.worker_id, DENIAL)).status_code == 200
    (told,) = await events(plane, session)
    assert (told["run_id"], told["attempt"], told["epoch"]) == (run["id"], 1, 1)


async def test_denials__what_an_agent_made_up_is_cut_to_a_size(
    plane: Plane, member: Caller
) -> None:
    session = await make_session(member.http)
    worker_id = await insert_worker(plane.connection, session, token="bwt1")
    long = "x\x00" * 2000
    denial = DENIAL | {"host": long, "path": long, "method": long, "port": 10**9, "count": -1}
    assert (await tell(plane, worker_id, denial)).status_code == 200
    (told,) = await events(plane, session)
    event = told["event"]
    assert [len(event[name]) for name in ("host", "path", "method")] == [253, 300, 64]
    assert (event["port"], event["count"]) == (0, 1)
    many = await tell(plane, worker_id, *([DENIAL] * 201))
    assert many.status_code == 400


async def test_denials__are_the_workers_own_word(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    worker_id = await insert_worker(plane.connection, session, token="bwt1")
    other = await insert_worker(plane.connection, await make_session(member.http), token="bwt2")
    assert (await tell(plane, other, DENIAL)).status_code == 401
    await plane.connection.execute(
        "UPDATE session_workers SET superseded_at = now() WHERE id = $1", worker_id
    )
    late = await tell(plane, worker_id, DENIAL)
    assert (late.status_code, late.json()["code"]) == (409, "stale_epoch")
    assert await events(plane, session) == []


@pytest.mark.parametrize("guarded", [True, False])
async def test_denials__of_a_worker_that_is_superseded_meanwhile_change_nothing(
    plane: Plane, member: Caller, *, guarded: bool
) -> None:
    """Between its proof of who it is and the lock of its session, or told by a task later on."""
    session = await make_session(member.http)
    worker_id = await insert_worker(plane.connection, session, token="bwt1")
    worker = await plane.app.services.access.worker_of("bwt1", worker_id)
    await plane.connection.execute(
        "UPDATE session_workers SET superseded_at = now() WHERE id = $1", worker_id
    )
    told = msgspec.convert({"batch_id": str(uuid4()), "denials": [DENIAL]}, TellDenials)
    with perhaps_without(
        query_of(store, "take_denials", " AND superseded_at IS NULL", ""), guarded=guarded
    ):
        await plane.app.services.egress_policies.tell(worker, told)
    assert len(await events(plane, session)) == (0 if guarded else 1)
