"""What a question's form takes, as lines for a person at a terminal."""

from typing import Any

import msgspec


class _Choice(msgspec.Struct, frozen=True):
    const: Any = None
    title: str = ""


class _Field(msgspec.Struct, frozen=True, rename="camel"):
    type: str = "a value"
    title: str = ""
    enum: list[Any] = []
    one_of: list[_Choice] = []
    any_of: list[_Choice] = []
    items: "_Field | None" = None

    def takes(self) -> str:
        if self.items is not None:
            return f"several of {self.items.takes().removeprefix('one of ')}"
        titled = [*self.one_of, *self.any_of]
        words = [str(one) for one in self.enum] or [_words(choice) for choice in titled]
        return f"one of {', '.join(words)}" if words else self.type


class _Form(msgspec.Struct, frozen=True):
    properties: dict[str, _Field] = {}
    required: list[str] = []


def form_lines(form: object) -> list[str]:
    """Empty for a form that is one text, and for what is none that we can read."""
    try:
        read = msgspec.convert(form, _Form)
    except msgspec.ValidationError:
        return []
    fields = read.properties
    if [field.takes() for field in fields.values()] == ["string"]:
        return []
    return [_line(name, field, required=name in read.required) for name, field in fields.items()]


def _line(name: str, field: _Field, *, required: bool) -> str:
    title = f" ({field.title})" if field.title else ""
    return f"{name}{title}: {field.takes()}{'' if required else ', if you like'}"


def _words(choice: _Choice) -> str:
    value = str(choice.const)
    return f"{value} ({choice.title})" if choice.title not in {"", value} else value
