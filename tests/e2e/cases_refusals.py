"""Black box: what is wrong is refused with a code, a status and a trace; nothing is begun."""

import secrets
from typing import Any
from uuid import uuid4

import httpx

from contracts.runs import Run
from contracts.session_workers import PatchSessionWorker
from tests.e2e.cases import Case, Scene
from tests.system.visitor import script

RUNS = "/api/v1/runs"


def problem(answer: httpx.Response, status: int) -> str:
    """Its code."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    told: Any = answer.json()
    assert told["status"] == status
    assert all(told[name] for name in ("code", "title", "trace_id")), told
    return told["code"]


async def strangers(scene: Scene) -> None:
    async with httpx.AsyncClient(base_url=scene.api.url, trust_env=False) as nobody:
        assert problem(await nobody.get(RUNS), 401) == "unauthenticated"
        wrong = {"Authorization": f"Bearer berth_{secrets.token_urlsafe(32)}"}
        assert problem(await nobody.get(RUNS, headers=wrong), 401) == "unauthenticated"
        assert (await nobody.get("/healthz")).status_code == 200
        inner = await nobody.post("/internal/v1/runs/claim", json={})
        assert inner.status_code in {401, 403, 404}, inner.status_code
    inner = await scene.api.raw("POST", f"/internal/v1/managers/{uuid4()}/heartbeat", json={})
    assert inner.status_code in {403, 404}, "internal routes are reachable with a person's key"


async def wrong_inputs(scene: Scene) -> None:
    api = scene.api
    kind = {"Content-Type": "application/json"}
    assert problem(await api.raw("POST", RUNS, content=b"{", headers=kind), 400)
    assert problem(await api.raw("POST", RUNS, json={"agent": "scripted"}), 400)
    unknown = {"text": "x", "agent": "scripted", "colour": "blue"}
    answer = await api.raw("POST", RUNS, json=unknown)
    assert problem(answer, 400)
    assert "colour" in answer.text
    problem(await api.raw("GET", f"{RUNS}/{uuid4()}"), 404)
    problem(await api.raw("GET", f"/api/v1/sessions/{uuid4()}"), 404)
    problem(await api.raw("POST", f"/api/v1/sessions/{uuid4()}/messages", json={"text": "x"}), 404)
    problem(await api.raw("GET", RUNS, params={"limit": "9999"}), 400)
    answer = await api.raw("GET", f"/api/v1/session-workers/{uuid4()}/workspace/file?path=x")
    problem(answer, 404)


async def wrong_cursors(scene: Scene) -> None:
    one, two = [await scene.visitor.send("remember A=1") for _ in range(2)]
    for shadow in (one, two):
        await scene.visitor.succeeded(shadow)
    path = f"/api/v1/runs/{one.run_id}/stream"
    foreign = two.seen[1].entry.id
    for cursor in ("garbage", foreign, f"{one.seen[0].entry.id.partition('.')[0]}.999999"):
        assert problem(await scene.api.raw("GET", path, headers={"Last-Event-ID": cursor}), 400)


async def unknown_agent(scene: Scene) -> None:
    """A run that nobody can take never begins; it says what is missing, or was refused at once."""
    answer = await scene.api.raw("POST", RUNS, json={"text": "x", "agent": "no-such-agent"})
    if answer.status_code in {400, 404, 422}:
        return
    run = await scene.api.get(f"{RUNS}/{answer.json()['id']}", Run)
    shadow = scene.visitor.follow(run)
    assert await shadow.closed(within=60) in {"blocked", "failed"}
    assert (await scene.visitor.run(shadow)).remedy


async def wrong_script(scene: Scene) -> None:
    """The agent's own error ends the run as failed, with the agent's words."""
    shadow = await scene.visitor.send(script({"error": {"message": "hull breach"}}))
    assert await shadow.closed(within=60) == "failed"
    assert "hull breach" in (await scene.visitor.run(shadow)).detail


async def limits(scene: Scene) -> None:
    """Set before there is a container: the first one gets them."""
    session = (await scene.api.session()).id
    wanted = PatchSessionWorker(cpus=1.5, memory_mib=320, pids=99)
    told = await scene.api.limits(session, wanted)
    assert (told.own.cpus, told.own.memory_mib, told.own.pids) == (1.5, 320, 99)
    assert told.limits.memory_mib == 320
    assert told.applies == "now"
    shadow = await scene.visitor.send("remember A=1", session=session)
    await scene.visitor.succeeded(shadow)
    told = await scene.api.limits(session, PatchSessionWorker(memory_mib=None))
    assert told.own.memory_mib is None
    assert told.own.cpus == 1.5
    assert told.applies == "next_worker"
    path = f"/api/v1/session-workers/{session}"
    for wrong in ({"memory_mib": 1}, {"cpus": 0}, {"pids": "many"}, {"colour": "blue"}):
        problem(await scene.api.raw("PATCH", path, json=wrong), 400)
    problem(await scene.api.raw("PATCH", f"/api/v1/session-workers/{uuid4()}", json={}), 404)


REFUSALS = [
    Case(name="strangers are refused", play=strangers),
    Case(name="wrong inputs", play=wrong_inputs),
    Case(name="wrong cursors", play=wrong_cursors),
    Case(name="an unknown agent", play=unknown_agent),
    Case(name="an agent's error", play=wrong_script),
    Case(name="limits of one session", play=limits),
]
