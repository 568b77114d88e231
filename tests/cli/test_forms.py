"""A form as a person at a terminal reads it."""

from typing import Any

import pytest

from cli.forms import form_lines
from cli.words import lines
from contracts.events import HumanLoopRequested, HumanLoopResolved

CHOICE = {"type": "string", "enum": ["red", "green"]}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"answer": {"type": "string", "title": "Which?"}}, []),
        ({"colour": CHOICE}, ["colour: one of red, green"]),
        (
            {"colour": CHOICE, "sure": {"type": "boolean", "title": "Are you?"}},
            ["colour: one of red, green", "sure (Are you?): boolean, if you like"],
        ),
        (
            {"colour": {"oneOf": [{"const": "r", "title": "Red"}, {"const": "g"}]}},
            ["colour: one of r (Red), g"],
        ),
        ({"colour": {"type": "array", "items": CHOICE}}, ["colour: several of red, green"]),
    ],
)
def test_form__says_what_each_field_takes(fields: dict[str, Any], told: list[str]) -> None:
    first = next(iter(fields))
    assert form_lines({"properties": fields, "required": [first]}) == told


@pytest.mark.parametrize("form", [None, "cut off", {}, {"properties": 5}, {"properties": {"a": 1}}])
def test_form__that_cannot_be_read_says_nothing(form: object) -> None:
    assert form_lines(form) == []


def test_words__of_a_question_and_its_answer() -> None:
    form = {"properties": {"colour": CHOICE}, "required": ["colour"]}
    request_id = "00000000-0000-0000-0000-000000000001"
    asked: Any = {"request_id": request_id, "type": "question", "title": "Which?", "form": form}
    told = [line.text for line in lines(HumanLoopRequested(**asked))]
    assert told == ["? the agent asks: Which?", "  colour: one of red, green"]
    said: Any = {"request_id": request_id, "outcome": "answered", "content": {"colour": "red"}}
    assert [line.text for line in lines(HumanLoopResolved(**said))] == [
        '  answered {"colour":"red"}'
    ]
