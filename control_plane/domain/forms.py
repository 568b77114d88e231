"""What a person fills into a question's form, held against the form that the agent offered. Pure.

A form is a JSON schema of an object with flat fields, as the agent sent it: texts, numbers, yes or
no, a choice of one (`enum`, or `oneOf` with a title beside each value) or of several. What it says
besides, or in a way that is not known here, is the agent's to check; a field that it does not name
is refused.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from contracts.human_loop import Reply

MAX_TOLD = 20
CUSTOM = "_custom"
"""Ends the name of a free text that stands beside a choice: either of the two is an answer."""
NOTE = "_note"
"""Ends the name of Codex's free text that goes with a choice, its last one: another answer."""


class Misfit(Exception):
    """`field` as the reply's body names it; `expected`: what would be right."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected


class _Choice(msgspec.Struct, frozen=True):
    const: Any
    title: str = ""


class _Codex(msgspec.Struct, frozen=True, rename="camel"):
    is_other: bool = False
    """The last choice stands for what is written beside it."""


class _Meta(msgspec.Struct, frozen=True):
    codex: _Codex = _Codex()


class _Field(msgspec.Struct, frozen=True, rename="camel"):
    type: str = ""
    enum: list[Any] = []
    one_of: list[_Choice] = []
    any_of: list[_Choice] = []
    items: "_Field | None" = None
    min_length: int = 0
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    meta: _Meta = msgspec.field(default=_Meta(), name="_meta")

    @property
    def several(self) -> bool:
        return self.type == "array"

    @property
    def choices(self) -> list[_Choice]:
        """Of one value; empty: anything of its type."""
        if self.several:
            return [] if self.items is None else self.items.choices
        return [_Choice(value, str(value)) for value in self.enum] or [*self.one_of, *self.any_of]

    def takes(self, value: object) -> bool:
        if self.several:
            return isinstance(value, list) and self._takes_all(cast("list[object]", value))
        if self.choices:
            return any(type(value) is type(c.const) and value == c.const for c in self.choices)
        match value:
            case bool():
                return self.type in {"boolean", ""}
            case str():
                longest = len(value) if self.max_length is None else self.max_length
                return self.type in {"string", ""} and self.min_length <= len(value) <= longest
            case int() | float():
                return self._takes_number(value)
            case _:
                return not self.type

    def _takes_all(self, values: list[object]) -> bool:
        items = self.items or _Field(type="string")
        return all(items.takes(one) for one in values)

    def _takes_number(self, value: float) -> bool:
        whole = isinstance(value, int) or value.is_integer()
        right = self.type in {"number", ""} or (self.type == "integer" and whole)
        low = self.minimum is None or value >= self.minimum
        return right and low and (self.maximum is None or value <= self.maximum)

    def wanted(self) -> str:
        if choices := self.choices:
            told = ", ".join(repr(choice.const) for choice in choices[:MAX_TOLD])
            more = ", …" if len(choices) > MAX_TOLD else ""
            return f"{'a list of some of' if self.several else 'one of'} {told}{more}"
        bounds = {
            "of at least {} characters": self.min_length or None,
            "of at most {} characters": self.max_length,
            "from {:g} on": self.minimum,
            "up to {:g}": self.maximum,
        }
        limits = [words.format(bound) for words, bound in bounds.items() if bound is not None]
        return ", ".join([_KINDS.get(self.type, "a value"), *limits])


_KINDS = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list of texts",
}


class _Form(msgspec.Struct, frozen=True):
    properties: dict[str, Any] = {}
    required: list[str] = []


def filled(form: object, reply: Reply) -> dict[str, Any] | None:
    """The form's content, from a content or from a text; None: declined, or no form to fill in.

    Raises `Misfit`.
    """
    read, fields = _read(form)
    if not fields:
        return reply.content
    if reply.content is None and reply.text is None:
        return None
    content = _content(fields, reply)
    for name, value in content.items():
        if name not in fields:
            raise Misfit(f"content.{name}", f"a field of the form: {_names(fields)}")
        if not fields[name].takes(value):
            raise Misfit(f"content.{name}", fields[name].wanted())
    for name in read.required:
        if name in fields and not {name, f"{name}{CUSTOM}"} & content.keys():
            raise Misfit(f"content.{name}", f"{fields[name].wanted()}: it is required")
    return content


def _content(fields: dict[str, _Field], reply: Reply) -> dict[str, Any]:
    if reply.content is not None:
        return {name: value for name, value in reply.content.items() if value is not None}
    return _from_text(fields, reply.text or "")


def _read(form: object) -> tuple[_Form, dict[str, _Field]]:
    try:
        read = msgspec.convert(form, _Form)
    except msgspec.ValidationError:
        return _Form(), {}
    return read, {name: _field(described) for name, described in read.properties.items()}


def _field(described: object) -> _Field:
    try:
        return msgspec.convert(described, _Field)
    except msgspec.ValidationError:
        return _Field()


def _from_text(fields: dict[str, _Field], text: str) -> dict[str, Any]:
    """Into the field whose choice it names, else into the one for free text."""
    for name, field in fields.items():
        for choice in [] if field.several else field.choices:
            if text in {str(choice.const), choice.title}:
                return {name: choice.const}
    free = [name for name, field in fields.items() if field.type == "string" and not field.choices]
    for name in sorted(free, key=lambda name: not name.endswith(CUSTOM)):
        if (content := _written(fields, name, text)) is not None:
            return content
    for field in fields.values():
        if field.choices and not field.several:
            raise Misfit("text", field.wanted())
    raise Misfit("content", f"a value for each of: {_names(fields)}")


def _written(fields: dict[str, _Field], name: str, text: str) -> dict[str, Any] | None:
    """None for a note that goes with a choice, of which none stands for it."""
    beside = fields.get(name.removesuffix(NOTE)) if name.endswith(NOTE) else None
    if beside is None or not beside.choices:
        return {name: text}
    if beside.several or not beside.meta.codex.is_other:
        return None
    return {name.removesuffix(NOTE): beside.choices[-1].const, name: text}


def _names(names: dict[str, _Field]) -> str:
    told: Sequence[str] = list(names)[:MAX_TOLD]
    return ", ".join(told)
