"""Finds a project's files by name and by what is in them: a page at a time, each within its
seconds, and only what whoever asks may read.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from chassis.files import cursors
from chassis.files.lines import MOST_WITHHELD, is_binary, lines_with, text_of
from chassis.files.names import wrong
from chassis.files.ranges import Stretch
from contracts.workspace_files import (
    MOST_LINES,
    SEARCH_SECONDS,
    SEARCHED_BYTES,
    FoundFile,
    WorkspaceMatches,
)
from control_plane.domain.cursors import Window
from control_plane.domain.project_files import FileRow, Rules, Visitor
from control_plane.services.project_file_audit import Audited, refusals_told
from control_plane.services.project_file_rights import require_words
from control_plane.services.project_file_views import ProjectFileViews, place_of
from control_plane.services.project_files import ProjectFiles
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.slots import Slots
from control_plane.store import project_files as store
from control_plane.store.database import Database

AT_ONCE, OF_ONE = 4, 1
"""Searches by content in this process, and of one person; whoever comes later waits."""
WAIT_SECONDS = 10.0
ROWS_AT_ONCE = 200
BEGINNING_BYTES = 256 * 1024
"""Of a file: more is read of those alone that are no binaries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    name: str = ""
    """Words in a file's own name, upper and lower case always alike."""
    text: str = ""
    fold: bool = False
    """Upper and lower case of the text are alike."""


@dataclass(slots=True, kw_only=True)
class _Page:
    visitor: Visitor
    rules: Rules
    limit: int
    until: float
    items: list[FoundFile] = field(default_factory=list[FoundFile])
    withheld: list[str] = field(default_factory=list[str])

    @property
    def over(self) -> bool:
        return len(self.items) >= self.limit or time.monotonic() >= self.until

    def opens(self, row: FileRow) -> bool:
        """Whether it may be read; one whose name alone may be known is told."""
        if self.rules.may(self.visitor.role, row.path, "read"):
            return True
        known = self.rules.may_unless_sensitive(self.visitor.role, row.path, "read")
        if known and len(self.withheld) < MOST_WITHHELD:
            self.withheld.append(row.path)
        return False

    def told(self, cursor: str | None) -> WorkspaceMatches:
        return WorkspaceMatches(items=self.items, withheld=self.withheld, next_cursor=cursor)


class ProjectFileSearch(Audited):
    def __init__(
        self,
        database: Database,
        files: ProjectFiles,
        views: ProjectFileViews,
        objects: ProjectObjects,
    ) -> None:
        super().__init__(database)
        self._files = files
        self._views = views
        self._objects = objects
        self._slots = Slots(AT_ONCE, each=OF_ONE, seconds=WAIT_SECONDS)

    async def search(
        self, visitor: Visitor, path: str, sought: Sought, window: Window
    ) -> WorkspaceMatches:
        """Audited. Raises `validation_failed`, `not_found`, `sensitive_path`, `rate_limited`."""
        if not sought.text:
            if not sought.name:
                raise wrong("name", "a part of a name, or text=… to search for")
            return await self._views.search(visitor, path, sought.name, window)
        return await self._by_content(visitor, path, sought, window)

    @refusals_told("search")
    async def _by_content(
        self, visitor: Visitor, path: str, sought: Sought, window: Window
    ) -> WorkspaceMatches:
        text = text_of(sought.text, fold=sought.fold)
        if sought.name:
            require_words(sought.name)
        rules = await self._views.readable(visitor, path)
        scope = f"project files {visitor.project_id} {path} holding {sought}"
        after = place_of(scope, window.cursor)
        await self._slots.wait(visitor.user_id)
        with self._slots.taken(visitor.user_id):
            # what was sought may itself be a secret: it is in no record
            detail = {"name": sought.name, "content": True}
            await self.tell(visitor, "files.search", path, detail)
            until = time.monotonic() + SEARCH_SECONDS
            page = _Page(visitor=visitor, rules=rules, limit=window.limit, until=until)
            async with aclosing(self._rows(visitor, path, sought, after)) as rows:
                async for row in rows:
                    await self._look(page, row, text)
                    if page.over:
                        return page.told(cursors.cursor_of(scope, row.path.encode()))
        return page.told(None)

    async def _rows(
        self, visitor: Visitor, path: str, sought: Sought, after: str
    ) -> AsyncGenerator[FileRow]:
        while True:
            async with self._database.reading() as connection:
                rows = await store.named(
                    connection,
                    visitor.project_id,
                    path,
                    sought.name,
                    after=after,
                    limit=ROWS_AT_ONCE,
                )
            for row in rows:
                yield row
            if len(rows) < ROWS_AT_ONCE:
                return
            after = rows[-1].path

    async def _look(self, page: _Page, row: FileRow, text: re.Pattern[bytes]) -> None:
        if row.sha256 is None or not page.opens(row):
            return
        content = await self._content(row)
        lines = await asyncio.to_thread(lines_with, content, text)
        if lines:
            page.items.append(
                FoundFile(
                    entry=self._files.entry(row),
                    lines=lines[:MOST_LINES],
                    more_lines=len(lines) > MOST_LINES,
                )
            )

    async def _content(self, row: FileRow) -> bytes:
        """Its first `SEARCHED_BYTES`; empty for a binary."""
        end = min(row.size, SEARCHED_BYTES)
        first = min(end, BEGINNING_BYTES)
        beginning = await self._stretch(row, Stretch(0, first))
        if is_binary(beginning):
            return b""
        return beginning + await self._stretch(row, Stretch(first, end - first))

    async def _stretch(self, row: FileRow, stretch: Stretch) -> bytes:
        async with aclosing(self._objects.content(row, stretch)) as pieces:
            return b"".join([piece async for piece in pieces])
