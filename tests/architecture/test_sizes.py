"""The tail decides: no function body over 40 lines (scenarios of tests apart), no file over 400."""

import ast
from pathlib import Path

from tests.architecture import sources

LONGEST_BODY = 40
LONGEST_FILE = 400

ALLOWED_FILES: set[str] = set()
ALLOWED_FUNCTIONS: set[str] = set()

MIGRATIONS = sources.ROOT / "sql/migrations/versions"

CODE = [
    path
    for path in sources.python(*sources.PACKAGES, "deploy", "bench")
    if not path.is_relative_to(MIGRATIONS)
]


def long_bodies(path: Path) -> list[str]:
    return [
        f"{sources.name(path)}:{node.lineno} {node.name} has {length} lines"
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := body_length(node)) > LONGEST_BODY
        and f"{sources.name(path)}:{node.name}" not in ALLOWED_FUNCTIONS
    ]


def body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, its docstring apart."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or first.lineno) - first.lineno + 1


def test_bodies__at_most_40_lines() -> None:
    assert [found for path in CODE for found in long_bodies(path)] == []


def test_files__at_most_400_lines() -> None:
    long = [
        f"{sources.name(path)} has {length} lines"
        for path in [*CODE, *sources.python("tests")]
        if (length := len(sources.text(path).splitlines())) > LONGEST_FILE
        and sources.name(path) not in ALLOWED_FILES
    ]
    assert long == []


def test_allow_list__names_only_what_needs_it() -> None:
    lengths = {name: len(sources.text(sources.ROOT / name).splitlines()) for name in ALLOWED_FILES}
    assert [name for name, length in lengths.items() if length <= LONGEST_FILE] == []
