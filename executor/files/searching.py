"""Finds files by name and by content: a page at a time, each within its seconds."""

import os
from pathlib import Path

import msgspec

from chassis.files.cursors import after, cursor_of
from chassis.files.lines import BINARY_BYTES, MOST_WITHHELD, is_binary, lines_with, text_of
from chassis.files.names import Glob, for_people, glob_of, wrong
from chassis.files.sensitive import Sensitive
from contracts.workspace_files import (
    MOST_LINES,
    OPERATION_SECONDS,
    PATTERN_CHARACTERS,
    SEARCH_SECONDS,
    SEARCHED_BYTES,
    FoundFile,
    WorkspaceMatches,
)
from executor.files.listing import told
from executor.files.opening import A_DIRECTORY, FILE, Deadline, explained, plain
from executor.files.walking import Found, walked


class AskedSearch(msgspec.Struct, frozen=True, kw_only=True):
    path: bytes
    name: str = ""
    text: str = ""
    fold: bool = False
    """Upper and lower case are alike."""
    limit: int
    cursor: str | None = None


def searched(root: Path, asked: AskedSearch, withheld: Sensitive) -> WorkspaceMatches:
    """Raises `BerthError`."""
    plain(asked.path, empty=True)
    search = _Search(asked, withheld)
    scope = f"search {asked.path!r} {asked.name!r} {asked.text!r} {asked.fold}"
    behind = after(scope, asked.cursor)
    ending = Deadline(SEARCH_SECONDS)
    with explained(asked.path, expected=A_DIRECTORY):
        for found in walked(root, asked.path, deadline=Deadline(OPERATION_SECONDS), after=behind):
            search.look(found)
            if len(search.items) == asked.limit or ending.over:
                return search.page(cursor_of(scope, found.path))
    return search.page(None)


class _Search:
    def __init__(self, asked: AskedSearch, withheld: Sensitive) -> None:
        if not asked.name and not asked.text:
            raise wrong("name", "a pattern such as *.py, or text=… to search for")
        self._name: Glob | None = None
        if asked.name:
            self._name = glob_of(asked.name, most=PATTERN_CHARACTERS, fold=asked.fold)
        self._text = text_of(asked.text, fold=asked.fold) if asked.text else None
        self._top = len(asked.path) + 1 if asked.path else 0
        self._sensitive = withheld
        self._withheld: list[str] = []
        self.items: list[FoundFile] = []

    def look(self, found: Found) -> None:
        if self._name is not None and not self._name.matches(found.path[self._top :]):
            return
        if self._text is None:
            self.items.append(FoundFile(entry=told(found, self._sensitive)))
        elif not found.is_file:
            return
        elif self._sensitive.covers(found.path):
            if len(self._withheld) < MOST_WITHHELD:
                self._withheld.append(for_people(found.path))
        elif lines := lines_with(_content(found), self._text):
            more = len(lines) > MOST_LINES
            entry = told(found, self._sensitive)
            self.items.append(FoundFile(entry=entry, lines=lines[:MOST_LINES], more_lines=more))

    def page(self, cursor: str | None) -> WorkspaceMatches:
        return WorkspaceMatches(items=self.items, withheld=self._withheld, next_cursor=cursor)


def _content(found: Found) -> bytes:
    """Empty for what cannot be read, or is binary."""
    try:
        file = os.open(found.name, FILE, dir_fd=found.parent)
    except OSError:
        return b""
    with os.fdopen(file, "rb") as opened:
        # what it was when it was looked at need not be what was opened
        if not os.path.isfile(file):  # noqa: PTH113  # of a handle
            return b""
        beginning = opened.read(BINARY_BYTES)
        if is_binary(beginning):
            return b""
        return beginning + opened.read(SEARCHED_BYTES - len(beginning))
