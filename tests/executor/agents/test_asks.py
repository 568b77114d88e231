"""Answers are chosen by kind, and never grant more than was decided."""

from typing import Any

import msgspec
import pytest

from contracts.events import AskOption
from executor.agents.asks import (
    Decision,
    answer_permission,
    answer_question,
    read_options,
    read_question,
)
from executor.agents.updates import Permission

CLAUDE = {"allow-once": "allow_once", "allow-with-updates": "allow_always", "reject": "reject_once"}
CODEX = {"accept_execpolicy_amendment": "allow_always", "cancel": "reject_once"}


@pytest.mark.parametrize(
    ("offered", "kind", "chosen"),
    [
        (CLAUDE, "allow_once", "allow-once"),
        (CLAUDE, "allow_always", "allow-with-updates"),
        (CLAUDE, "reject_always", "reject"),
        (CODEX, "allow_once", None),
        (CODEX, "reject_once", "cancel"),
        (CODEX, "made_up", None),
        (CLAUDE, None, None),
    ],
)
def test_permission__by_kind(offered: dict[str, str], kind: str | None, chosen: str | None) -> None:
    options = [AskOption(id=option_id, kind=kind) for option_id, kind in offered.items()]
    outcome = answer_permission(options, Decision(option_kind=kind))["outcome"]
    assert outcome.get("optionId") == chosen
    assert outcome["outcome"] == ("cancelled" if chosen is None else "selected")


FORM = {
    "type": "object",
    "properties": {
        "question_0": {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
        "question_0_custom": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    ("form", "decision", "content"),
    [
        (FORM, Decision(content={"question_0": "a"}), {"question_0": "a"}),
        (FORM, Decision(text="other"), {"question_0_custom": "other"}),
        ({"properties": {"n": {"type": "number"}}}, Decision(text="other"), None),
        (None, Decision(text="other"), None),
        (FORM, Decision(), None),
    ],
)
def test_question__content_or_text(form: Any, decision: Decision, content: Any) -> None:
    answered = answer_question(form, decision)
    assert answered["action"] == ("decline" if content is None else "accept")
    assert answered.get("content") == content


def test_question__other_modes_are_not_for_us() -> None:
    assert read_question({"message": "go there", "mode": "url", "url": "http://x"}) is None


def test_permission__odd_options_are_fit_for_a_report() -> None:
    options = [{"optionId": "\ud800\0", "name": "n" * 10_000, "kind": "allow_once\0"}] * 500
    asked = {"toolCall": {"toolCallId": "t"}, "options": options}
    read = read_options(msgspec.convert(asked, Permission))
    assert len(msgspec.json.encode(read)) < 100_000
    assert read[0].id == "\ufffd\ufffd"


def test_permission__the_option_that_was_chosen_among_two_of_a_kind() -> None:
    offered = [AskOption(id=name, kind="allow_always") for name in ("everything", "this")]
    chosen = answer_permission(offered, Decision(option_kind="allow_always", option_id="this"))
    assert chosen["outcome"]["optionId"] == "this"
    other = answer_permission(offered, Decision(option_kind="allow_once", option_id="this"))
    assert other["outcome"]["outcome"] == "cancelled"
