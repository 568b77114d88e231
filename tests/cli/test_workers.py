"""`berth workers` against a real stack: listed, shown, read, stopped, scaled, drained."""

import json
import uuid
from typing import Any

import httpx
import pytest

from cli.exits import Exit
from tests.fixtures.commands import Up


def script(*steps: dict[str, Any]) -> str:
    return f"<<SCRIPT{json.dumps(steps)}SCRIPT>>"


@pytest.fixture
def session(up: Up) -> str:
    """With a worker that has done a run."""
    done = up.run("run", "--agent", "scripted", "--json", script({"text": "Hello.\n"}))
    assert done.code == Exit.OK, done.err
    return done.json()[0]["session_id"]


def manager(up: Up) -> dict[str, Any]:
    (only,) = up.run("workers", "ls", "--managers", "--json").json()
    return only


def test_ls__by_pages_as_lines_and_as_json(up: Up, session: str) -> None:
    plain = up.run("workers", "ls", "--session", session)
    assert plain.code == Exit.OK, plain.err
    (line,) = plain.lines()
    assert line.split("\t")[0] == session
    (one,) = up.run("workers", "ls", "--session", session, "--json").json()
    assert (one["session_id"], one["current"]) == (session, True)
    assert one["manager_id"] == manager(up)["id"]
    everything = up.run("workers", "ls", "--limit", "0", "--json").json()
    assert session in {worker["session_id"] for worker in everything}
    assert len(up.run("workers", "ls", "--limit", "1").lines()) == 1
    none = up.run("workers", "ls", "--project", str(uuid.uuid4()))
    assert none.code == Exit.NOT_FOUND


def test_ls__managers(up: Up) -> None:
    only = manager(up)
    assert (only["backend"], only["draining"]) == ("process", False)
    plain = up.run("workers", "ls", "--managers").lines()
    assert plain[0].split("\t")[:2] == [only["id"], only["name"]]


def test_show__state_limits_and_steps(up: Up, session: str) -> None:
    done = up.run("workers", "show", session)
    assert done.code == Exit.OK, done.err
    assert "limits     the installation's" in done.out
    steps = [line.split()[0] for line in done.lines() if line.startswith("  ")]
    assert {"create", "relay", "start", "boot", "link", "ready"} <= set(steps)
    (shown,) = up.run("workers", "show", session, "--json").json()
    assert set(shown) == {"worker", "settings", "steps"}
    assert {step["outcome"] for step in shown["steps"]} == {"done"}
    assert up.run("workers", "show", str(uuid.uuid4())).code == Exit.NOT_FOUND


def test_logs__the_end_of_what_was_printed(up: Up, session: str) -> None:
    whole = up.run("workers", "logs", session)
    assert whole.code == Exit.OK, whole.err
    assert '"service":"executor"' in whole.out
    assert "Hello." not in whole.out, "nothing of the conversation"
    short = up.run("workers", "logs", session, "--bytes", "20")
    assert short.code == Exit.OK
    assert 0 < len(short.out) <= 21
    assert up.run("workers", "logs", session, "--bytes", "0").code == Exit.USAGE
    assert up.run("workers", "logs", str(uuid.uuid4())).code == Exit.NOT_FOUND


def test_logs__are_for_members(up: Up, session: str) -> None:
    """A viewer sees what runs tell; what the container printed is not for it."""
    with httpx.Client(base_url=up.url, trust_env=False, timeout=30) as http:
        http.headers["Authorization"] = f"Bearer {_key(up)}"
        (project,) = http.get("/api/v1/projects").json()["items"]
        users = f"/api/v1/projects/{project['id']}/users"
        user = http.post(users, json={"name": "eve", "role": "viewer"}).json()["user_id"]
        body = {"name": "eve", "project_id": project["id"], "user_id": user}
        made = http.post("/api/v1/keys", json=body).json()
    refused = up.run("workers", "logs", session, BERTH_KEY=made["key"], BERTH_URL=up.url)
    assert (refused.code, "code forbidden" in refused.err) == (Exit.REFUSED, True)
    shown = up.run("workers", "show", session, BERTH_KEY=made["key"], BERTH_URL=up.url)
    assert shown.code == Exit.OK
    drained = up.run("workers", "drain", "x", BERTH_KEY=made["key"], BERTH_URL=up.url)
    assert drained.code == Exit.REFUSED


def _key(up: Up) -> str:
    made = up.run("keys", "create", "of-a-test")
    assert made.code == Exit.OK, made.err
    return made.out.strip()


def test_stop__saves_and_stops(up: Up, session: str) -> None:
    done = up.run("workers", "stop", session)
    assert (done.code, done.out) == (Exit.OK, "It saves and stops.\n"), done.err
    assert up.run("workers", "stop", str(uuid.uuid4())).code == Exit.NOT_FOUND


def test_stop__while_a_run_is_live(up: Up) -> None:
    steps = script({"text": "begun\n"}, {"shell": "sleep 600"})
    (run,) = up.run("run", "--agent", "scripted", "--detach", "--json", steps).json()
    try:
        refused = up.run("workers", "stop", run["session_id"])
        while refused.code == Exit.NOT_FOUND:  # it is being claimed
            refused = up.run("workers", "stop", run["session_id"])
        assert (refused.code, "session_busy" in refused.err) == (Exit.REFUSED, True)
    finally:
        up.run("stop", run["id"])


def test_scale__a_session(up: Up, session: str) -> None:
    done = up.run("workers", "scale", session, "--memory-mib", "512", "--cpus", "1.5")
    assert done.code == Exit.OK, done.err
    assert done.out == "cpus 1.5, memory_mib 512; in force for its next container\n"
    back = up.run("workers", "scale", session, "--default", "cpus", "--keep-warm", "--json")
    (now,) = back.json()
    assert (now["own"]["cpus"], now["own"]["memory_mib"], now["keep_warm"]) == (None, 512, True)
    up.run("workers", "scale", session, "--default", "memory-mib", "--no-keep-warm")
    wrong = up.run("workers", "scale", session, "--memory-mib", "1")
    assert (wrong.code, "memory_mib" in wrong.err) == (Exit.USAGE, True)
    assert up.run("workers", "scale", str(uuid.uuid4()), "--pids", "99").code == Exit.NOT_FOUND


def test_scale__a_manager_by_id_and_by_name(up: Up) -> None:
    before = manager(up)
    try:
        done = up.run("workers", "scale", before["name"], "--max-workers", "2", "--warm", "0")
        assert done.code == Exit.OK, done.err
        assert f"{before['name']} holds" in done.out
        assert manager(up)["max_workers"] == 2
        much = up.run("workers", "scale", before["id"], "--max-workers", "10000")
        assert (much.code, "BERTH_MAX_WORKERS" in much.err) == (Exit.USAGE, True)
    finally:
        back = ("--default", "max-workers", "--default", "warm")
        (after,) = up.run("workers", "scale", before["id"], *back, "--json").json()
    assert (after["max_workers"], after["warm"]) == (before["max_workers"], None)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--cpus", "1", "--max-workers", "1"),
        ("--cpus", "1", "--default", "cpus"),
        ("--default", "hat"),
    ],
)
def test_scale__that_says_nothing_or_too_much(up: Up, session: str, options: tuple[str]) -> None:
    assert up.run("workers", "scale", session, *options).code == Exit.USAGE


def test_drain__until_it_is_empty_and_off_again(up: Up, session: str) -> None:
    only = manager(up)
    try:
        done = up.run("workers", "drain", only["name"], "--wait", "60")
        assert done.code == Exit.OK, done.err
        assert "holds 0 of" in done.out
        assert "draining" in done.out
        assert manager(up)["wanted_draining"] is True
        (run,) = up.run("run", "--detach", "--json", script({"text": "a"})).json()
        assert run["state"] == "queued"
    finally:
        off = up.run("workers", "drain", only["id"], "--off", "--json")
    assert off.json()[0]["draining"] is False
    followed = up.run("show", run["id"], "--follow")
    assert followed.lines()[-1] == "succeeded", followed.err
    assert up.run("workers", "drain", "nobody").code == Exit.NOT_FOUND
