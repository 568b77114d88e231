"""What a person answers at the terminal, and what became of the run."""

from typing import Any

from cli.exits import Exit
from tests.cli.test_commands import script, waiting_run
from tests.fixtures.commands import Up

FORM = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green"]},
        "sure": {"type": "boolean"},
    },
    "required": ["colour", "sure"],
}


def questioned(up: Up, question: Any) -> tuple[str, str]:
    done = up.run(
        "run", "--agent", "scripted", "--no-wait", "--json", script({"ask_user": question})
    )
    assert done.code == Exit.WAITING, done.err
    asked = done.json()[-1]
    return asked["run_id"], asked["event"]["request_id"]


def test_reply__a_refusal_is_shown_as_one(up: Up) -> None:
    asks = {"shell": "echo done > done.txt", "ask": True}
    done = up.run("run", "--agent", "scripted", "--no-wait", "--json", script(asks))
    asked = done.json()[-1]
    assert up.run("reply", asked["event"]["request_id"], "--reject").code == Exit.OK
    ended = up.run("show", asked["run_id"], "--follow")
    assert ended.code == Exit.RUN_FAILED
    assert "failed: refused_by_person" in ended.out
    assert "say what it should do instead" in up.run("show", asked["run_id"]).out


def test_reply__a_refusal_that_the_agent_lives_with_is_no_failure(up: Up) -> None:
    run_id, request_id = waiting_run(up)
    assert up.run("reply", request_id, "--reject").out == "Answered: reject_once\n"
    assert up.run("show", run_id, "--follow").lines()[-1] == "succeeded"


def test_reply__with_a_form(up: Up) -> None:
    run_id, request_id = questioned(up, {"message": "Which colour?", "schema": FORM})
    for arguments, said in (
        (["--text", "blue"], "'red', 'green'"),
        (["--text", "red"], "content.sure"),
        (["--content", '{"colour": "blue", "sure": true}'], "content.colour"),
        (["--content", "no JSON"], "no JSON object"),
        (["--content", "{}", "--allow"], "one of --allow"),
    ):
        refused = up.run("reply", request_id, *arguments)
        assert refused.code == Exit.USAGE, refused.err
        assert said in refused.err
    given = '{"colour": "green", "sure": false}'
    assert up.run("reply", request_id, "--content", given).code == Exit.OK
    followed = up.run("show", run_id, "--follow")
    assert followed.code == Exit.OK
    assert '"colour": "green", "sure": false' in followed.out


def test_reply__with_a_text(up: Up) -> None:
    run_id, request_id = questioned(up, "Which one?")
    assert up.run("reply", request_id, "--text", "the green one").code == Exit.OK
    assert up.run("show", run_id, "--follow").code == Exit.OK
    assert "the green one" in up.run("show", run_id).out


def test_show__says_how_the_agent_was_resumed_and_why(up: Up) -> None:
    first = up.run("run", "--agent", "scripted", "--json", "remember NONCE=n-1").json()[0]
    session = first["session_id"]
    lost = script({"shell": "rm -r .berth/agents"})
    assert up.run("run", "--session", session, lost).code == Exit.OK
    told = up.run("run", "--session", session, "--json", "recall NONCE")
    shown = up.run("show", told.json()[0]["run_id"]).out
    assert "resumed    rebuilt (the agent's own session is not in its store; 2 earlier" in shown
    assert "NONCE is n-1" in shown
    native = up.run("run", "--session", session, "--json", "recall NONCE")
    assert "resumed    native\n" in up.run("show", native.json()[0]["run_id"]).out
    assert "resumed    fresh (the agent has no earlier" in up.run("show", first["run_id"]).out
