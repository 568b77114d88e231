"""Named queries: each is used by the store, and each that the store names exists."""

import ast
from pathlib import Path

from sql.named import load
from tests.architecture import sources

STORE = sources.python("control_plane/store")
NOUNS = {path.stem: set(load(path.stem)) for path in (sources.ROOT / "sql/queries").glob("*.sql")}


def loaded(path: Path) -> dict[str, str]:
    """Which noun's queries a module's names hold: `QUERIES = load("runs")`, or imported so."""
    found: dict[str, str] = {}
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            noun = _noun(node.value)
            if noun is not None and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = noun
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "control_plane.store."
        ):
            source = sources.ROOT / (node.module or "").replace(".", "/")
            theirs = loaded(source.with_suffix(".py"))
            found |= {a.asname or a.name: theirs[a.name] for a in node.names if a.name in theirs}
    return found


def _noun(call: ast.Call) -> str | None:
    """Of `load("noun")`, whatever `sql.named.load` is called there."""
    known = isinstance(call.func, ast.Name) and call.func.id in {"load", "load_queries"}
    if not known or len(call.args) != 1 or not isinstance(call.args[0], ast.Constant):
        return None
    return str(call.args[0].value)


def asked(path: Path) -> set[tuple[str, str]]:
    """(noun, query) of each `QUERIES["query"]`."""
    names = loaded(path)
    return {
        (names[node.value.id], str(node.slice.value))
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id in names
        and isinstance(node.slice, ast.Constant)
    }


def families(path: Path) -> set[tuple[str, str]]:
    """(noun, prefix) of each `QUERIES[f"prefix{…}"]`."""
    names = loaded(path)
    return {
        (names[node.value.id], str(node.slice.values[0].value))
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id in names
        and isinstance(node.slice, ast.JoinedStr)
        and isinstance(node.slice.values[0], ast.Constant)
    }


def test_queries__named_by_the_store_exist() -> None:
    missing = {
        f"{sources.name(path)}: {noun}.{query}"
        for path in STORE
        for noun, query in asked(path)
        if query not in NOUNS.get(noun, set())
    }
    assert missing == set()


def test_queries__are_all_used() -> None:
    """A query whose name is handed on as an argument counts where the string stands."""
    used = {pair for path in STORE for pair in asked(path)}
    strings = {
        node.value
        for path in sources.python("control_plane")
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    composed = {pair for path in STORE for pair in families(path)}
    unused = [
        f"{noun}.{query}"
        for noun, queries in sorted(NOUNS.items())
        for query in sorted(queries)
        if (noun, query) not in used and query not in strings
        if not any(noun == of and query.startswith(prefix) for of, prefix in composed)
    ]
    assert unused == []


def test_sql_files__are_loaded_by_a_module_of_their_noun() -> None:
    nouns = {noun for path in STORE for noun in loaded(path).values()}
    assert nouns == set(NOUNS)
