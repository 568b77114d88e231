"""The commands against a real stack: what they print, and how they end."""

import json
import signal
import uuid
from typing import Any

import httpx
import msgspec
import pytest

from cli.exits import Exit
from cli.pages import MOST
from contracts.events import LogEntry, MessageDelta, RunClosed
from tests.fixtures.commands import Up, read_until

ASKS = [{"shell": "echo done > done.txt", "ask": True}, {"text": "Thank you.\n"}]


def script(*steps: dict[str, Any]) -> str:
    return f"<<SCRIPT{json.dumps(steps)}SCRIPT>>"


def waiting_run(up: Up) -> tuple[str, str]:
    """A run that waits for a person, and its request."""
    done = up.run("run", "--agent", "scripted", "--no-wait", "--json", script(*ASKS))
    assert done.code == Exit.WAITING, done.err
    asked = done.json()[-1]
    assert asked["event"]["kind"] == "human_loop.requested"
    return asked["run_id"], asked["event"]["request_id"]


def test_run__plain_when_piped(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", script({"text": "One two three.\n"}))
    assert done.code == Exit.OK, done.err
    assert "One two three." in done.lines()
    assert done.lines()[-1] == "succeeded"
    assert "\x1b" not in done.out
    assert "session " in done.err


def test_run__what_an_agent_says_does_not_steer_the_terminal(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", script({"text": "a\u001b[2Jb\u009bc\n"}))
    assert "a[2Jbc" in done.lines()


def test_run__json_is_the_log(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", "--json", script({"text": "One two.\n"}))
    entries = [msgspec.json.decode(line, type=LogEntry) for line in done.lines()]
    assert done.code == Exit.OK, done.err
    assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})
    told = [one.event.text for one in entries if isinstance(one.event, MessageDelta)]
    assert "".join(told) == "One two.\n"
    assert isinstance(entries[-1].event, RunClosed)


def test_run__goes_on_in_a_session(up: Up) -> None:
    first = up.run("run", "--agent", "scripted", "--json", "remember color=blue")
    session = first.json()[0]["session_id"]
    second = up.run("run", "--session", session, "recall color")
    assert "color is blue" in second.lines()
    assert session in up.run("ls").out
    runs = up.run("ls", "--session", session, "--json").json()
    assert {run["state"] for run in runs} == {"succeeded"}
    assert len(runs) == 2


def test_run__fails(up: Up) -> None:
    failing = script({"error": {"code": -32603, "message": "the sails are torn"}})
    done = up.run("run", "--agent", "scripted", failing)
    assert done.code == Exit.RUN_FAILED
    assert "the sails are torn" in done.out


def test_run__detached(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", "--detach", "--json", "hello there")
    run = done.json()[0]
    assert done.code == Exit.OK
    followed = up.run("show", run["id"], "--follow")
    assert followed.code == Exit.OK
    assert followed.lines()[-1] == "succeeded"
    shown = up.run("show", run["id"])
    assert "succeeded" in shown.out
    assert "give me a script" in shown.out
    assert run["id"] in up.run("show", run["session_id"]).out


def test_run__longer_than_waited_for(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", "--wait", "1", script({"sleep": 600}))
    assert done.code == Exit.STILL_RUNNING
    run_id = done.err.split("berth stop ")[1].split("`")[0]
    assert up.run("stop", run_id).code == Exit.OK
    assert up.run("show", run_id, "--follow").code == Exit.RUN_FAILED
    again = up.run("stop", run_id)
    assert again.code == Exit.REFUSED
    assert "already_finished" in again.err


def test_run__left_with_ctrl_c(up: Up) -> None:
    long = script({"text": "Hello.\n"}, {"sleep": 600})
    with up.begun("run", "--agent", "scripted", long) as process:
        read_until(process, "Hello.")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert "the run goes on" in said
    run_id = said.split("berth stop ")[1].split("`")[0]
    assert "running" in up.run("show", run_id).out
    assert up.run("stop", run_id).code == Exit.OK


def test_reply__allow_once(up: Up) -> None:
    run_id, request_id = waiting_run(up)
    first = up.run("reply", request_id, "--allow")
    assert (first.code, first.out) == (Exit.OK, "Answered: allow_once\n")
    second = up.run("reply", request_id, "--reject")
    assert second.out == "It had been answered before: allow_once\n"
    assert up.run("show", run_id, "--follow").lines()[-1] == "succeeded"


def test_tool__a_question_is_answered_into_the_session(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", "--json", script({"text": "One.\n"}))
    session = done.json()[0]["session_id"]
    ask = ("tool", "request-input", session, "Which?", "--option", "red", "--option", "blue")
    asked = up.run(*ask, "--json").json()[0]
    assert (asked["accepted"], asked["duplicate"]) == (True, False)
    assert up.run(*ask).lines()[0] == "It had been said before."
    replied = up.run("reply", asked["request_id"], "--text", "2")
    assert (replied.code, replied.out) == (Exit.OK, "Answered: blue\n"), replied.err
    runs = up.run("ls", "--session", session, "--json").json()
    assert len(runs) == 2


def test_tool__finished_and_blocked(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", "--json", script({"text": "One.\n"}))
    session = done.json()[0]["session_id"]
    assert up.run("tool", "finish-task", session, "all is done").out == "Noted.\n"
    assert up.run("tool", "block-task", session, "no key", "--call-key", "a").out == "Noted.\n"
    refused = up.run("tool", "finish-task", session, "")
    assert refused.code == Exit.USAGE
    assert "summary" in refused.err


def test_keys__made_used_revoked(up: Up) -> None:
    made = up.run("keys", "create", "for a test", "--json").json()[0]
    assert up.run("ls", BERTH_KEY=made["key"]).code == Exit.OK
    assert made["key"] not in up.run("keys", "ls").out
    assert up.run("keys", "revoke", made["id"]).code == Exit.OK
    listed = {key["id"]: key for key in up.run("keys", "ls", "--json").json()}
    assert listed[made["id"]]["revoked_at"] is not None


def test_keys__the_first_is_made_where_the_database_is(up: Up) -> None:
    database = str(up.home / "run" / "database-url")
    made = up.run("keys", "create", "the first", BERTH_DATABASE_URL_FILE=database)
    assert up.run("ls", BERTH_KEY=made.lines()[0]).code == Exit.OK
    limited = ("keys", "create", "limited", "--rate-limit", "5")
    assert up.run(*limited, BERTH_DATABASE_URL_FILE=database).code == Exit.USAGE


def test_keys__ls_follows_every_page(up: Up) -> None:
    key = up.run("keys", "create", "the first", "--json").json()[0]["key"]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=up.url, headers=headers, trust_env=False, timeout=30) as http:
        made = [http.post("/api/v1/keys", json={"name": str(n)}) for n in range(MOST + 1)]
    listed = [one["id"] for one in up.run("keys", "ls", "--json").json()]
    assert len(listed) == len(set(listed))
    assert {one.json()["id"] for one in made} <= set(listed)


UNKNOWN = str(uuid.UUID(int=1))


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["show", UNKNOWN], Exit.NOT_FOUND, UNKNOWN),
        (["stop", UNKNOWN], Exit.NOT_FOUND, "run_not_found"),
        (["reply", UNKNOWN, "--allow"], Exit.NOT_FOUND, "request_not_found"),
        (["run", "hi", "--session", UNKNOWN], Exit.NOT_FOUND, "session_not_found"),
        (["run", "hi", "--agent", "nobody"], Exit.NOT_FOUND, "agent_not_found"),
        (["ls", "--limit", "1000"], Exit.USAGE, "limit"),
        (["ls", "--key", "bk_wrong-key"], Exit.UNREACHABLE, "unauthenticated"),
    ],
)
def test_refusals__say_title_code_and_trace(
    up: Up, arguments: list[str], code: Exit, named: str
) -> None:
    done = up.run(*arguments)
    assert done.code == code, done.err
    assert named in done.err


def test_doctor__of_a_running_stack(up: Up) -> None:
    found = {one["what"]: one["verdict"] for one in up.run("doctor", "--json").json()}
    assert found["control-plane"] == found["executor-manager"] == found["gateway"] == "ok"
    assert found["backend process"] == "note"
