"""What a person is shown of a tool call that is asked for, and what the decision is bound to."""

from typing import Any

import msgspec

from executor.agents.mapping import Mapper
from executor.agents.tools import OpenCall
from executor.agents.updates import Permission


def asked(call_id: str, text: str | None, **told: Any) -> OpenCall:
    """As Codex asks for a change of files: the change is told before, and the ask has no input."""
    mapper = Mapper()
    start = {"sessionUpdate": "tool_call", "toolCallId": call_id, "kind": "edit", **told}
    diff = {"type": "diff", "path": "/workspace/a", "oldText": "", "newText": text}
    mapper.update({**start, "content": [] if text is None else [diff]})
    ask = {"toolCall": {"toolCallId": call_id, "title": "Edit files"}, "options": []}
    mapper.asked(msgspec.convert(ask, Permission).tool_call)
    return mapper.call(call_id)


def test_ask__shows_the_change_that_it_is_about() -> None:
    diff = {"path": "/workspace/a", "old_text": "", "new_text": "b"}
    assert asked("t", "b").shown == {"diffs": [diff]}


def test_ask__bound_to_all_that_is_known() -> None:
    assert asked("t", "b").digest == asked("u", "b").digest
    assert asked("t", "b").digest != asked("t", "c").digest
    long = "x" * 300_000
    assert asked("t", f"{long}1").digest != asked("t", f"{long}2").digest
    inputs = [asked("t", None, rawInput={"command": f"{long}{end}"}) for end in (1, 2, 1)]
    assert inputs[0].digest == inputs[2].digest != inputs[1].digest


def test_ask__told_in_words() -> None:
    """As Kimi Code asks."""
    said = {"type": "content", "content": {"type": "text", "text": "run `ls`"}}
    ask = {"toolCall": {"toolCallId": "t", "title": "Bash", "content": [said]}, "options": []}
    mapper = Mapper()
    mapper.asked(msgspec.convert(ask, Permission).tool_call)
    assert mapper.call("t").shown == {"text": "run `ls`"}
    assert mapper.call("t").digest != asked("t", None).digest


def test_ask__of_which_nothing_is_known_is_like_no_other() -> None:
    assert asked("t", None).shown is None
    assert asked("t", None).digest != asked("u", None).digest
