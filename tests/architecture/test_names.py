"""Names that lead to a file, and the few that never do."""

import re

from tests.architecture import sources

MEANINGLESS = re.compile(r"^_?(utils?|helpers?|common|misc|base(_.*)?|shared|stuff)$")

UNREASONED = re.compile(
    r"# (?:noqa(?::\s*[A-Z0-9, ]+)?|(?:type|pyright): ignore(?:\[[^]]*\])?)\s*$"
)
"""An exception to a rule with nothing beside it."""

CODE = sources.python(*sources.PACKAGES, "deploy", "bench", "tests")


def test_modules__are_named_by_a_noun_of_what_is_in_them() -> None:
    assert [sources.name(path) for path in CODE if MEANINGLESS.match(path.stem)] == []


def test_exceptions_to_rules__have_a_reason_beside_them() -> None:
    bare = [
        f"{sources.name(path)}:{number}"
        for path in CODE
        for number, line in enumerate(sources.text(path).splitlines(), start=1)
        if UNREASONED.search(line)
    ]
    assert bare == []


def test_annotations__are_really_evaluated() -> None:
    """Litestar and msgspec read them at run time."""
    lazy = re.compile(r"^from __future__ import annotations|\bTYPE_CHECKING\b", re.MULTILINE)
    packages = sources.python(*sources.PACKAGES)
    assert [sources.name(path) for path in packages if lazy.search(sources.text(path))] == []
