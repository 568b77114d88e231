"""What an agent asks a person: permissions and questions, and how a decision becomes its answer."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from contracts.events import AskOption
from executor.agents.text import MAX_TITLE, bounded, clean, cut
from executor.agents.updates import Elicitation, Permission

Message = dict[str, Any]

PERMISSION = "session/request_permission"
QUESTION = "elicitation/create"
MAX_OPTIONS = 50
MAX_NAME = 500
"""Characters. What is too large to be reported would stand in the way of all that comes after."""


class AskPermission(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is the protocol's; `tool` the agent's own name of the tool, if it says one."""

    call_id: str
    title: str
    tool: str
    kind: str
    shown: Any
    """JSON, bounded: what the person decides on."""
    digest: str
    """Of the same, whole: what the decision is bound to."""
    options: list[AskOption]


class AskQuestion(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    form: Any
    """A JSON schema of an object with flat properties."""


Ask = AskPermission | AskQuestion


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A permission is decided by `option_kind`, a question by `content` or by plain `text`; with
    none of them the answer is that nobody decided.
    """

    option_kind: str | None = None
    option_id: str | None = None
    """Which of several of that kind, if this very ask offered it."""
    content: dict[str, Any] | None = None
    text: str | None = None


AskHandler = Callable[[Ask], Awaitable[Decision]]
"""Waits as long as it takes. It is cancelled when the ask is withdrawn, and answers only once."""

_FALLBACK = {
    "allow_once": ("allow_once",),
    "allow_always": ("allow_always", "allow_once"),
    "reject_once": ("reject_once", "reject_always"),
    "reject_always": ("reject_always", "reject_once"),
}
"""Never more than was granted: an `allow_once` does not become an `allow_always`."""


def read_options(permission: Permission) -> list[AskOption]:
    return [
        AskOption(id=_short(option.option_id), name=_short(option.name), kind=_short(option.kind))
        for option in permission.options[:MAX_OPTIONS]
    ]


def _short(text: str) -> str:
    return clean(text[:MAX_NAME])


def read_question(params: Message) -> AskQuestion | None:
    """None for a mode that no person can fill in here."""
    asked = msgspec.convert(params, Elicitation)
    if asked.mode != "form":
        return None
    return AskQuestion(
        title=cut(asked.message, limit=MAX_TITLE)[0], form=bounded(asked.requested_schema)
    )


def answer(ask: Ask, decision: Decision) -> Message:
    if isinstance(ask, AskPermission):
        return answer_permission(ask.options, decision)
    return answer_question(ask.form, decision)


def answer_permission(options: list[AskOption], decision: Decision) -> Message:
    """Chosen by kind: every agent has its own option ids, and they may be an earlier ask's."""
    chosen_first = sorted(options, key=lambda option: option.id != decision.option_id)
    for kind in _FALLBACK.get(decision.option_kind or "", ()):
        for option in chosen_first:
            if option.kind == kind:
                return {"outcome": {"outcome": "selected", "optionId": option.id}}
    return {"outcome": {"outcome": "cancelled"}}


def answer_question(form: object, decision: Decision) -> Message:
    content = decision.content
    if content is None and decision.text is not None:
        content = _fill(form, decision.text)
    return {"action": "decline"} if content is None else {"action": "accept", "content": content}


def _fill(form: object, text: str) -> dict[str, Any] | None:
    """Puts a typed answer into the form's field for free text, or into its first text field."""
    properties = cast("Message", form).get("properties") if isinstance(form, dict) else None
    if not isinstance(properties, dict):
        return None
    fields = cast("dict[str, Message]", properties)
    texts = [name for name, schema in fields.items() if schema.get("type") == "string"]
    free = [name for name in texts if not {"enum", "oneOf"} & fields[name].keys()]
    for name in [*(name for name in free if name.endswith("_custom")), *free, *texts]:
        return {name: text}
    return None


WITHDRAWN: dict[str, Message] = {
    PERMISSION: {"outcome": {"outcome": "cancelled"}},
    QUESTION: {"action": "cancel"},
}
"""What the agent hears when its turn is cancelled while it asks."""
