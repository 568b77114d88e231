"""What our documents tell people to type and to look for exists: commands, settings, routes, make's
targets, metrics; and the map names every package and every duty.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts.exceptions import CycloptsError, UnknownCommandError, UnknownOptionError

from cli.app import build_app
from tests.architecture import sources

DOCUMENTS = [
    path
    for path in sources.files()
    if path.suffix == ".md"
    and (path.parent == sources.ROOT or path.is_relative_to(sources.ROOT / "docs"))
]
MAP = sources.ROOT / "ARCHITECTURE.md"
OPERATIONS = sources.ROOT / "docs/operations.md"

SETTING = re.compile(r"\bBERTH_[A-Z0-9_]*[A-Z0-9]\b(?!_)")
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)")
DEFAULT = re.compile(r"^# (BERTH_\w+)=(.*)$", re.MULTILINE)
TOLD = re.compile(r"`(BERTH_\w+)` \(([0-9.]+)[);]")
ROUTE = re.compile(
    r"(?:\b(GET|PUT|POST|PATCH|DELETE)`? `?)?(/api/v1/[A-Za-z0-9_/{},.-]*[A-Za-z0-9_}])"
)
TARGET = re.compile(r"(?:`|^)make ([a-z][a-z0-9-]*)", re.MULTILINE)
METRIC = re.compile(r"\bberth_[a-z_]+")
NAMED_METRIC = re.compile(r'"(berth_[a-z_]+)"')
LOOP = re.compile(r'(?:\bLoop|\b_loop)\(\s*"([a-z_]+)"')
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`berth( [^`\n]+)`")
AT_START = re.compile(r"(?:(?:\S*/)?berth|docker compose .*?\s(?:cli|migrate berth))\s+(.+)")
ASSIGNED = re.compile(r'^(\w+)=("[^"]*"|\S+)$')

OF_TESTS = frozenset({"BERTH_TEST_REQUIRE"})
OF_MANAGERS = frozenset({"/api/v1/backend"})
"""Served by a manager, and so not in the description of the API."""


def typed(document: Path) -> Iterator[str]:
    """What follows `berth` on the lines of its shell examples, and between its backticks."""
    text = sources.text(document)
    for found in FENCE.finditer(text):
        yield from _of_example(found[1].replace("\\\n", " "))
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for found in INLINE.finditer(prose):
        yield from _alternatives(found[1].strip())


def _of_example(example: str) -> Iterator[str]:
    known = {"berth": "berth"}
    for line in example.splitlines():
        command = re.sub(r"(^|\s)#\s.*", "", line).strip()
        if assigned := ASSIGNED.match(command):
            known[assigned[1]] = assigned[2].strip('"')
            continue
        for name, value in known.items():
            command = re.sub(rf"\${name}\b", value, command)
        if after := AT_START.match(command):
            yield re.split(r"\s[<>|]", after[1])[0]


def _alternatives(words: str) -> list[str]:
    """`workers ls|show` are two."""
    first, *rest = words.split(" ")
    if rest and re.fullmatch(r"[a-z]+(\|[a-z]+)+", rest[0]):
        return [f"{first} {one}" for one in rest[0].split("|")]
    return [words]


def unknown(command: str) -> str:
    """What of it does not exist; empty: all of it does."""
    words = ["0" * 32 if re.fullmatch(r"[A-Z_]{2,}", one) else one for one in shlex.split(command)]
    try:
        build_app().parse_args(words, exit_on_error=False, print_error=False)
    except (UnknownCommandError, UnknownOptionError) as error:
        return f"berth {command}: {error}"
    except CycloptsError:
        pass  # it leaves something out
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=sources.name)
def test_commands__exist_with_their_options(document: Path) -> None:
    assert [wrong for one in typed(document) if (wrong := unknown(one))] == []


def test_commands__are_found_in_examples() -> None:
    """Else the check above looks at nothing."""
    example = 'b="docker compose run --rm cli workers"\n$b ls --nope   # no\nmake up\nx/berth up\n'
    assert list(_of_example(example)) == ["workers ls --nope", "up"]
    assert "--nope" in unknown("workers ls --nope")
    assert "forget" in unknown("workers forget")
    assert unknown("run --session SESSION_ID 'recall color'") == ""


def test_settings__exist() -> None:
    known = set(SETTING.findall(sources.text(sources.ROOT / ".env.example"))) | OF_TESTS
    for path in sources.files():
        if path.suffix == ".yml":
            known |= set(VARIABLE.findall(sources.text(path)))
    wrong = [
        f"{sources.name(document)}: {name}"
        for document in DOCUMENTS
        for name in SETTING.findall(sources.text(document))
        if name.removesuffix("_FILE") not in known and name not in known
    ]
    assert wrong == []


def test_settings__have_the_defaults_that_are_told() -> None:
    """`BERTH_NAME` (N)."""
    known = dict(DEFAULT.findall(sources.text(sources.ROOT / ".env.example")))
    wrong = [
        f"{sources.name(document)}: {name} is {known.get(name)}, not {told}"
        for document in DOCUMENTS
        for name, told in TOLD.findall(sources.text(document))
        if float(known.get(name) or "nan") != float(told)
    ]
    assert wrong == []


def test_routes__exist_with_their_methods() -> None:
    served = json.loads(sources.text(sources.ROOT / "docs/openapi.json"))["paths"]
    wrong = [
        f"{sources.name(document)}: {method} {path}"
        for document in DOCUMENTS
        for method, path in ROUTE.findall(sources.text(document))
        if path not in OF_MANAGERS and not _is_served(served, method, path)
    ]
    assert wrong == []


def _is_served(served: dict[str, dict[str, object]], method: str, path: str) -> bool:
    """`{a,b}` are alternatives, another brace or a word in capitals is any id; what all of some
    paths begin with is served too.
    """
    if choice := re.search(r"\{([^{}]*,[^{}]*)\}", path):
        some = (path.replace(choice[0], one) for one in choice[1].split(","))
        return all(_is_served(served, method, one) for one in some)
    asked = re.sub(r"/(?:\{[^}]*\}|[A-Z_]{2,})", "/{}", path)
    return any(
        plain == asked or plain.startswith(f"{asked}/")
        for known, methods in served.items()
        if not method or method.lower() in methods
        for plain in [re.sub(r"\{[^}]*\}", "{}", known)]
    )


def test_targets__exist() -> None:
    makefile = sources.text(sources.ROOT / "Makefile")
    known = set(re.findall(r"^([a-z][a-z0-9-]*)%?:", makefile, re.MULTILINE))
    wrong = [
        f"{sources.name(document)}: make {target}"
        for document in DOCUMENTS
        for target in TARGET.findall(sources.text(document))
        if target not in known and re.sub(r"-[a-z]*$", "-", target) not in known
    ]
    assert wrong == []


def test_metrics__each_is_explained_and_each_explained_one_is_there() -> None:
    counted = {
        name
        for path in sources.python("chassis", "executor_manager", "control_plane", "gateway")
        if path.name == "metrics.py"
        for name in NAMED_METRIC.findall(sources.text(path))
    }
    assert counted == set(METRIC.findall(sources.text(OPERATIONS)))


def test_rules_of_denials__exist() -> None:
    """Of the table that says what would allow what was denied."""
    table = sources.text(OPERATIONS).partition("| upstream | rule |")[2].partition("\n\n")[0]
    told = {
        rule
        for row in table.splitlines()
        if len(columns := row.split(" | ")) > 1
        for rule in re.findall(r"`(\w+)`", columns[1])
    }
    code = "".join(
        sources.text(path) for path in sources.python("executor_manager/relay", "control_plane")
    )
    assert len(told) > 10
    assert sorted(rule for rule in told if f'"{rule}"' not in code) == []


def test_map__names_every_package() -> None:
    packages = {
        sources.name(path.parent)
        for path in sources.python(*sources.PACKAGES)
        if path.name == "__init__.py"
    }
    map_ = sources.text(MAP)
    assert sorted(one for one in packages if f"`{one}/" not in map_) == []


def test_map__names_every_loop() -> None:
    named = {
        name
        for path in sources.python("control_plane", "executor_manager")
        for name in LOOP.findall(sources.text(path))
    }
    loops = sources.text(MAP).partition("\n## Loops\n")[2].partition("\n## ")[0]
    told = {
        one
        for row in re.findall(r"^\| ([^|]+) \|", loops, re.MULTILINE)
        for one in re.findall(r"[a-z_]+", row)
    }
    assert sorted(named - told) == []
