"""Our documents: the paths they name exist, and some words stand nowhere in the tree."""

import re
from pathlib import Path

import pytest

from tests.architecture import sources

DOCUMENTS = [
    path
    for path in sources.files()
    if path.suffix == ".md"
    and (path.parent == sources.ROOT or path.is_relative_to(sources.ROOT / "docs"))
]
SUFFIXES = (".py", ".md", ".sql", ".toml", ".yaml", ".yml", ".json", ".lock", ".sh")
PATH = re.compile(r"^\.?[A-Za-z0-9_.{},*<>-]+(/[A-Za-z0-9_.{},*<>-]+)*/?$")

TOP = {path.name for path in sources.ROOT.iterdir()}

BANNED = (
    "/" + "work/",
    "/" + "root/",
    "/" + "home/",
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "debian" + ".org",
    "arti" + "factory",
    "co-authored" + "-by",
    "generated " + "with",
    "language " + "model wrote",
)
"""Machine paths, registry hosts, and how this came to be. Built so that they don't stand here."""

IN_CONTAINERS = re.compile("/" + r"home/agent|/proc/(?:[0-9]+|\{[^}]*\})/" + "root/")
"""Nobody's machine: the agent's HOME inside a session's container, a process's own root."""


OF_SESSIONS = ("executor_manager/settings.py", ".env.example")
"""Say from which indexes sessions install where nobody says otherwise: not where this came from."""
INDEXES = re.compile(r"https://(?:\w+\.)?(?:pypi|pythonhosted|npmjs)\.org")


def named_paths(document: Path) -> list[str]:
    """What stands in backticks and looks like a path of this repository."""
    prose = re.sub(r"```.*?```", "", sources.text(document), flags=re.DOTALL)
    words = re.findall(r"`([^`\n]+)`", prose)
    return [word for word in words if PATH.match(word) and _is_ours(word)]


def _is_ours(word: str) -> bool:
    """A path with a slash begins with a folder of ours; a bare name has a known suffix."""
    first, slash, _ = word.partition("/")
    if slash:
        return first in TOP
    return word.endswith(SUFFIXES) and not word.startswith(("*", "."))


def exists(word: str) -> bool:
    """`{a,b}` are alternatives, `<noun>` and `*` any name; a bare name may be anywhere."""
    return all(_one_exists(one) for one in _alternatives(word.rstrip("/")))


def _alternatives(word: str) -> list[str]:
    found = re.search(r"\{([^}]*)\}", word)
    if found is None:
        return [word]
    rests = [word.replace(found.group(), one, 1) for one in found.group(1).split(",")]
    return [alternative for rest in rests for alternative in _alternatives(rest)]


def _one_exists(word: str) -> bool:
    pattern = re.sub(r"<[^>]*>", "*", word)
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    return any(
        not sources.NOT_OURS.intersection(found.relative_to(sources.ROOT).parts)
        for found in sources.ROOT.glob(pattern)
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=sources.name)
def test_documents__name_paths_that_exist(document: Path) -> None:
    assert [word for word in named_paths(document) if not exists(word)] == []


def test_documents__are_there() -> None:
    wanted = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert wanted <= {sources.name(path) for path in DOCUMENTS}


def test_links__lead_to_files() -> None:
    dead = [
        f"{sources.name(document)}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", sources.text(document))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert dead == []


def test_links__lead_to_headings() -> None:
    dead = [
        f"{sources.name(document)}: {target}#{anchor}"
        for document in DOCUMENTS
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", sources.text(document))
        if "://" not in target
        and anchor not in anchors(document.parent / target if target else document)
    ]
    assert dead == []


def anchors(document: Path) -> set[str]:
    """Of its headings, as they are linked to."""
    headings = re.findall(r"^#+ (.+)$", sources.text(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_changelog__has_an_unreleased_section() -> None:
    assert "## [Unreleased]" in sources.text(sources.ROOT / "CHANGELOG.md")


def test_tree__holds_no_banned_word() -> None:
    found = [
        f"{sources.name(path)}: {word}"
        for path in sources.files()
        if (text := _text(path)) is not None
        for word in BANNED
        if word in IN_CONTAINERS.sub("", _without_defaults(path, text).lower())
    ]
    assert found == []


def _without_defaults(path: Path, text: str) -> str:
    return INDEXES.sub("", text) if sources.name(path) in OF_SESSIONS else text


def _text(path: Path) -> str | None:
    try:
        return sources.text(path)
    except UnicodeDecodeError:
        return None
