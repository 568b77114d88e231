"""What crosses a boundary is frozen, keyword-only, and says what each code means."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import msgspec

import contracts
from contracts.errors import RENDERINGS, Code
from contracts.events import AnyEvent, Event
from contracts.reasons import ADVICE, Reason
from contracts.wire import Body
from tests.architecture import sources


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(contracts.__path__, "contracts."):
        yield importlib.import_module(found.name)


def structs() -> set[type[msgspec.Struct]]:
    return {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct)
        if value.__module__ == module.__name__
    }


def test_structs__say_frozen_and_kw_only_each_time() -> None:
    """msgspec does not inherit `kw_only`, and keeps no trace of it: the source must say so."""
    names = {(struct.__module__, struct.__name__) for struct in structs()}
    loose = [
        f"{sources.name(path)}:{node.lineno} {node.name}"
        for path in sources.python("contracts")
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.ClassDef)
        and (f"contracts.{path.stem}", node.name) in names
        and not {"frozen", "kw_only"} <= _switched_on(node)
    ]
    assert loose == []


def _switched_on(node: ast.ClassDef) -> set[str]:
    return {
        keyword.arg or ""
        for keyword in node.keywords
        if isinstance(keyword.value, ast.Constant) and keyword.value.value is True
    }


def test_structs__are_frozen() -> None:
    assert [struct for struct in structs() if not struct.__struct_config__.frozen] == []


def test_public_bodies__refuse_unknown_fields() -> None:
    bodies = [struct for struct in structs() if issubclass(struct, Body)]
    assert bodies
    assert all(body.__struct_config__.forbid_unknown_fields for body in bodies)


def test_events__stand_in_the_union() -> None:
    events = {s for s in structs() if issubclass(s, Event) and s is not Event}
    assert events == set(AnyEvent.__args__)


def test_codes__each_have_a_status_and_a_title() -> None:
    assert set(RENDERINGS) == set(Code)
    assert [code for code, how in RENDERINGS.items() if not 400 <= how.status < 600] == []


def test_reasons__each_have_a_remedy() -> None:
    assert set(ADVICE) == set(Reason)
    assert [reason for reason, advice in ADVICE.items() if not advice.remedy.endswith(".")] == []
