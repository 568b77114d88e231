"""The platform's tools as agents are shown them: names, descriptions, arguments. Pure.

A description is read by a model that decides by it whether and how to call: it says when, what
happens, and what to do afterwards. The schema that is shown is made from the type that is enforced.
"""

from dataclasses import dataclass
from typing import Annotated, Any, assert_never, cast

import msgspec

from contracts.tools import Tool
from contracts.wire import Body
from control_plane.domain.tools import ASK_SECONDS, Call, call

_Key = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        description="Leave it out. Only to say the very same thing twice on purpose: any new word.",
    ),
]
_Options = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=500)]],
    msgspec.Meta(
        max_length=20,
        description="Answers to choose from, if there are a few likely ones; another is possible.",
    ),
]
_Question = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=20_000,
        description="Everything that is needed to answer without seeing your work: what you found, "
        "what the choices mean, what you would do.",
    ),
]


class FinishArguments(Body, frozen=True, kw_only=True):
    summary: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=20_000,
            description="What was done, where it is, how it was checked, and what the reviewer "
            "should look at.",
        ),
    ]
    key: _Key = ""


class BlockArguments(Body, frozen=True, kw_only=True):
    reason: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=20_000,
            description="What is missing, what you tried, and what somebody has to provide or "
            "change so that the work can go on.",
        ),
    ]
    key: _Key = ""


class QuestionArguments(Body, frozen=True, kw_only=True):
    question: _Question
    options: _Options = msgspec.field(default_factory=list[str])
    key: _Key = ""


Arguments = FinishArguments | BlockArguments | QuestionArguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    title: str
    description: str
    arguments: type[Arguments]


SHOWN: dict[Tool, Shown] = {
    "finish_task": Shown(
        title="Finish the task",
        description="Say that the work you were asked to do is done. Call it once, last, when "
        "everything is finished and checked, then end your turn without calling another tool. A "
        "person reviews the work after that. Not for reports of progress, and not while something "
        "is missing: then use request_input or block_task.",
        arguments=FinishArguments,
    ),
    "block_task": Shown(
        title="Report that the task is blocked",
        description="Say that the work cannot go on unless somebody provides or changes something "
        "that you cannot: an access, a tool, a broken environment, contradictory instructions. "
        "The run ends as blocked with your reason. Afterwards end your turn without calling "
        "another tool. For something that an answer settles, use request_input.",
        arguments=BlockArguments,
    ),
    "request_input": Shown(
        title="Ask a person, and stop",
        description="Ask the person you work for what you cannot find out or decide by yourself. "
        "Nothing waits: end your turn right after it, without calling another tool; the answer "
        "comes later as a new message and you go on then. Ask everything you need at once.",
        arguments=QuestionArguments,
    ),
    "ask_user": Shown(
        title="Ask a person, and wait a moment",
        description="Ask the person you work for a short question, and wait up to "
        f"{ASK_SECONDS:.0f} seconds for the answer. If it comes, it is the result, and you go on. "
        "If not, you are told to stop: end your turn then; the answer comes later as a new "
        "message. If nobody is likely to answer at once, use request_input.",
        arguments=QuestionArguments,
    ),
}


class UnknownTool(Exception):
    """No tool has this name."""


class WrongArguments(Exception):
    """They do not fit the tool's schema; says where and how."""


def listed() -> list[dict[str, Any]]:
    """As `tools/list` answers."""
    return [
        {
            "name": name,
            "title": shown.title,
            "description": shown.description,
            "inputSchema": _schema(shown.arguments),
            "annotations": {
                "title": shown.title,
                "readOnlyHint": False,
                "destructiveHint": False,
                "idempotentHint": True,
                "openWorldHint": False,
            },
        }
        for name, shown in SHOWN.items()
    ]


def _schema(arguments: type[Arguments]) -> dict[str, Any]:
    """Flat: not every model's provider follows references."""
    _, found = msgspec.json.schema_components([arguments])
    schema = cast("dict[str, Any]", found[arguments.__name__])
    return {name: value for name, value in schema.items() if name not in {"title", "description"}}


def read(name: str, arguments: object) -> Call:
    """Raises UnknownTool, WrongArguments."""
    if name not in SHOWN:
        raise UnknownTool(f"there is no tool {name!r}: there are {', '.join(SHOWN)}")
    tool = name
    try:
        given = msgspec.convert(arguments, SHOWN[tool].arguments)
    except (msgspec.ValidationError, RecursionError) as error:
        raise WrongArguments(f"{tool}: {error}") from error
    key = given.key or None
    match given:
        case FinishArguments():
            return call(tool, given.summary, key=key)
        case BlockArguments():
            return call(tool, given.reason, key=key)
        case QuestionArguments():
            return call(tool, given.question, given.options, key=key)
        case _:
            assert_never(given)
