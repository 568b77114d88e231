"""A service's settings: one frozen struct, read once from the environment.

The field `database_url` is read from `BERTH_DATABASE_URL`, or from the file that
`BERTH_DATABASE_URL_FILE` names (stripped of surrounding white space). An empty variable counts as
absent: compose passes `${X:-}` that way.
A list is written with commas; lists, mappings and structs may be given as JSON.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import inspect

T = TypeVar("T", bound=msgspec.Struct)

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""A value that no message, log line or error may show."""

_WORDS: dict[type[inspect.Type], str] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.ListType: "a list, separated by commas",
    inspect.VarTupleType: "a list, separated by commas",
    inspect.DictType: "a JSON object",
    inspect.StructType: "a JSON object",
    inspect.CustomType: "a path",
}


class SettingsError(Exception):
    """The message names each wrong variable and what would be right."""


class _Field(msgspec.Struct, frozen=True):
    name: str
    variable: str
    annotation: Any
    kind: inspect.Type
    required: bool

    @property
    def secret(self) -> bool:
        return any(_is_secret(kind) for kind in _walk(self.kind))


def load(
    struct_type: type[T],
    *,
    prefix: str = "BERTH_",
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
) -> T:
    """Raises `SettingsError` that names all wrong variables at once.

    `given`: variables that go before the environment's.
    """
    source = {**(os.environ if environ is None else environ), **(given or {})}
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in _fields(struct_type, prefix):
        try:
            text = _read(source, field.variable)
            if text is not None:
                values[field.name] = _parse(text, field)
            elif field.required:
                wrong.append(
                    f"{field.variable} is not set: give it {_expected(field.kind)},"
                    f" or name a file that holds it in {field.variable}_FILE"
                )
        except (msgspec.MsgspecError, OSError, ValueError) as error:
            wrong.append(_complaint(field, error))
    if wrong:
        raise SettingsError("\n".join(wrong))
    try:
        return struct_type(**values)
    except ValueError as error:  # a struct's own __post_init__: fields that contradict each other
        raise SettingsError(str(error)) from error


def secrets_of(settings: msgspec.Struct) -> list[str]:
    """The values of all `Secret` fields that are set, those inside lists and mappings included."""
    fields = [field for field in _fields(type(settings), "") if field.secret]
    return [text for field in fields for text in _strings(getattr(settings, field.name)) if text]


def _fields(struct_type: type[msgspec.Struct], prefix: str) -> list[_Field]:
    kinds = cast("inspect.StructType", inspect.type_info(struct_type)).fields
    annotations = msgspec.structs.fields(struct_type)
    return [
        _Field(kind.name, f"{prefix}{kind.name.upper()}", info.type, kind.type, kind.required)
        for kind, info in zip(kinds, annotations, strict=True)
    ]


def _read(source: Mapping[str, str], variable: str) -> str | None:
    if text := source.get(variable):
        return text
    if path := source.get(f"{variable}_FILE"):
        return Path(path).read_text().strip()
    return None


def _parse(text: str, field: _Field) -> Any:  # noqa: ANN401  # any field's type
    kind = _plain(field.kind)
    many = isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.SetType)
    if isinstance(kind, inspect.DictType | inspect.StructType) or (many and text.startswith("[")):
        return msgspec.json.decode(text, type=field.annotation, dec_hook=_path)
    value = [part.strip() for part in text.split(",") if part.strip()] if many else text
    return msgspec.convert(value, field.annotation, strict=False, dec_hook=_path)


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)


def _complaint(field: _Field, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{field.variable}_FILE: {error.strerror}: {error.filename}"
    # a validator's message may repeat the value
    why = "" if field.secret else f" ({error})"
    return f"{field.variable} should be {_expected(field.kind)}{why}"


def _expected(kind: inspect.Type) -> str:
    plain = _plain(kind)
    if isinstance(plain, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in plain.values)
    if isinstance(plain, inspect.EnumType):
        return "one of " + ", ".join(str(member.value) for member in plain.cls)
    return _WORDS.get(type(plain), "a text")


def _plain(kind: inspect.Type) -> inspect.Type:
    """The type without metadata and without `| None`."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _plain(next(k for k in kind.types if not isinstance(k, inspect.NoneType)))
    return kind


def _walk(kind: inspect.Type) -> Iterator[inspect.Type]:
    yield kind
    match kind:
        case inspect.Metadata():
            yield from _walk(kind.type)
        case inspect.UnionType():
            for member in kind.types:
                yield from _walk(member)
        case inspect.DictType():
            yield from _walk(kind.value_type)
        case inspect.ListType() | inspect.VarTupleType():
            yield from _walk(kind.item_type)
        case _:
            pass


def _is_secret(kind: inspect.Type) -> bool:
    if not isinstance(kind, inspect.Metadata):
        return False
    extra: dict[str, object] | None = getattr(kind, "extra", None)
    return bool(extra and extra.get("secret"))


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [str(item) for item in cast("Mapping[object, object]", value).values()]
    if isinstance(value, list | tuple):
        return [str(item) for item in cast("list[object]", value)]
    return []
