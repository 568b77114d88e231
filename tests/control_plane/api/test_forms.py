"""A question's form: what a person fills in is held against what the agent offered."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from chassis.ids import new_id
from contracts.human_loop import Reply
from control_plane.domain.forms import Misfit, filled
from tests.factories import make_session, send
from tests.fixtures.control_plane import Caller, Plane

COLOURS = {"type": "string", "enum": ["red", "green"]}
TITLED = {
    "type": "string",
    "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}],
}
NOTED = {**TITLED, "_meta": {"codex": {"isOther": True, "isSecret": False}}}
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "colour": COLOURS,
        "note": {"type": "string", "minLength": 2, "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "share": {"type": "number"},
        "sure": {"type": "boolean"},
        "many": {"type": "array", "items": COLOURS},
        "odd": {"type": ["string", "null"]},
    },
    "required": ["colour", "sure"],
}
RIGHT: dict[str, Any] = {"colour": "green", "sure": False}


@pytest.mark.parametrize(
    ("content", "field", "expected"),
    [
        ({"sure": True}, "colour", "one of 'red', 'green': it is required"),
        ({**RIGHT, "colour": None}, "colour", "one of 'red', 'green': it is required"),
        ({**RIGHT, "colour": "blue"}, "colour", "one of 'red', 'green'"),
        ({**RIGHT, "colour": ["red"]}, "colour", "one of 'red', 'green'"),
        ({**RIGHT, "note": "x"}, "note", "a text, of at least 2 characters, of at most 5"),
        ({**RIGHT, "note": "x" * 6}, "note", "a text, of at least 2 characters, of at most 5"),
        ({**RIGHT, "note": 5}, "note", "a text"),
        ({**RIGHT, "count": 0}, "count", "a whole number, from 1 on, up to 9"),
        ({**RIGHT, "count": 1.5}, "count", "a whole number"),
        ({**RIGHT, "count": True}, "count", "a whole number"),
        ({**RIGHT, "share": "half"}, "share", "a number"),
        ({**RIGHT, "sure": "yes"}, "sure", "true or false"),
        ({**RIGHT, "sure": 1}, "sure", "true or false"),
        ({**RIGHT, "many": "red"}, "many", "a list of some of 'red', 'green'"),
        ({**RIGHT, "many": ["blue"]}, "many", "a list of some of 'red', 'green'"),
        ({**RIGHT, "colours": "red"}, "colours", "a field of the form: colour, note, count"),
    ],
)
def test_content__that_does_not_fit_names_its_field(
    content: dict[str, Any], field: str, expected: str
) -> None:
    with pytest.raises(Misfit) as misfit:
        filled(FORM, Reply(content=content))
    assert misfit.value.field == f"content.{field}"
    assert misfit.value.expected.startswith(expected)


@pytest.mark.parametrize(
    "content",
    [
        RIGHT,
        {**RIGHT, "note": "five!", "count": 9, "share": 1, "many": ["red", "green"]},
        {**RIGHT, "many": [], "share": 0.5, "odd": "anything", "count": 2.0},
    ],
)
def test_content__that_fits_is_taken_as_it_is(content: dict[str, Any]) -> None:
    assert filled(FORM, Reply(content=content)) == content


@pytest.mark.parametrize(
    ("fields", "text", "content"),
    [
        ({"answer": {"type": "string"}}, "green", {"answer": "green"}),
        ({"answer": COLOURS}, "green", {"answer": "green"}),
        ({"answer": TITLED}, "Green", {"answer": "g"}),
        ({"answer": TITLED}, "r", {"answer": "r"}),
        ({"q": TITLED, "q_custom": {"type": "string"}}, "Red", {"q": "r"}),
        ({"q": TITLED, "q_custom": {"type": "string"}}, "blue", {"q_custom": "blue"}),
        ({"q": NOTED, "q_note": {"type": "string"}}, "Red", {"q": "r"}),
        ({"q": NOTED, "q_note": {"type": "string"}}, "blue", {"q": "g", "q_note": "blue"}),
        ({"a": {"type": "string"}, "b_custom": {"type": "string"}}, "x", {"b_custom": "x"}),
    ],
)
def test_text__goes_into_the_field_that_it_fits(
    fields: dict[str, Any], text: str, content: dict[str, Any]
) -> None:
    form = {"type": "object", "properties": fields, "required": [next(iter(fields))]}
    if "a" in fields:
        form["required"] = []
    assert filled(form, Reply(text=text)) == content


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"answer": COLOURS}, "text", "one of 'red', 'green'"),
        ({"q": COLOURS, "q_note": {"type": "string"}}, "text", "one of 'red', 'green'"),
        ({"sure": {"type": "boolean"}}, "content", "a value for each of: sure"),
        ({"sure": {"type": "boolean"}, "colour": COLOURS}, "text", "one of 'red', 'green'"),
        (
            {"sure": {"type": "boolean"}, "count": {"type": "integer"}},
            "content",
            "a value for each of: sure, count",
        ),
        (
            {"note": {"type": "string"}, "sure": {"type": "boolean"}},
            "content.sure",
            "true or false: it is required",
        ),
    ],
)
def test_text__that_fills_no_form_says_what_would(
    fields: dict[str, Any], field: str, expected: str
) -> None:
    form = {"type": "object", "properties": fields, "required": list(fields)}
    with pytest.raises(Misfit) as misfit:
        filled(form, Reply(text="blue"))
    assert misfit.value.field == field
    assert misfit.value.expected.startswith(expected)


@pytest.mark.parametrize("form", [None, "cut off", {"properties": 5}, {}, {"properties": {}}])
def test_form__that_is_none_takes_anything(form: object) -> None:
    assert filled(form, Reply(content={"a": 1})) == {"a": 1}
    assert filled(form, Reply(text="a")) is None


def test_form__declined_has_no_content() -> None:
    assert filled(FORM, Reply(decision="reject")) is None


@pytest.fixture
async def question(plane: Plane, member: Caller) -> str:
    """The path of a parked run's open question."""
    session = await make_session(member.http)
    run = await send(member.http, session["id"])
    request_id = new_id()
    await plane.connection.execute("UPDATE runs SET state = 'waiting', waiting_since = now()")
    await plane.connection.execute(
        "INSERT INTO human_loop_requests (id, project_id, session_id, run_id, attempt, ask_id,"
        " type, title, input_hash, form)"
        " VALUES ($1, $2, $3, $4, 1, $1, 'question', 'Which one?', 'hash', $5)",
        request_id,
        UUID(session["project_id"]),
        UUID(session["id"]),
        UUID(run["id"]),
        msgspec.json.encode(FORM).decode(),
    )
    return f"/api/v1/human-loop/{request_id}/reply"


async def test_reply__that_does_not_fit_decides_nothing(member: Caller, question: str) -> None:
    for body, field in (
        ({"content": {"colour": "blue", "sure": True}}, "content.colour"),
        ({"text": "green"}, "content.sure"),
        ({"decision": "allow"}, "decision"),
        ({}, "text"),
    ):
        refused = await member.http.post(question, json=body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["details"]["field"] == field
        assert refused.json()["details"]["expected"]
    answered = await member.http.post(question, json={"content": RIGHT})
    assert answered.status_code == 200, answered.text
    assert answered.json()["duplicate"] is False


async def test_reply__is_told_with_what_was_filled_in(
    plane: Plane, member: Caller, question: str
) -> None:
    await member.http.post(question, json={"content": RIGHT})
    told = await plane.connection.fetchval(
        "SELECT payload FROM events WHERE kind = 'human_loop.resolved'"
    )
    assert msgspec.json.decode(told)["content"] == RIGHT
    content = await plane.connection.fetchval("SELECT content FROM human_loop_requests")
    assert msgspec.json.decode(content) == RIGHT


async def test_reply__declined_is_an_answer(member: Caller, question: str) -> None:
    answered = await member.http.post(question, json={"decision": "reject"})
    assert answered.status_code == 200, answered.text
