"""What is in a project's files, for who may read it: lists, names that are searched, an archive."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from uuid import UUID

from chassis.errors import BerthError
from chassis.files import cursors
from chassis.files.zips import ZipPieces
from contracts.errors import Code
from contracts.workspace_files import FoundFile, WorkspaceMatches, WorkspaceTree
from control_plane.domain.cursors import Window
from control_plane.domain.project_files import FileRow, Rules, Visitor
from control_plane.services.project_file_audit import Audited, refusals_told
from control_plane.services.project_file_rights import (
    absent,
    require,
    require_path,
    require_words,
)
from control_plane.services.project_files import ProjectFiles
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.slots import Slots
from control_plane.services.transfers import timed
from control_plane.store import project_files as store
from control_plane.store.database import Connection, Database

ROWS_AT_ONCE = 1000
ARCHIVES_AT_ONCE, OF_ONE = 8, 2
"""In this process, and of one person; whoever comes later waits."""
ARCHIVE_SECONDS = 10.0
"""For one of the others to end."""
WITHHELD = "its name is sensitive"

Fetch = Callable[[Connection, str], Awaitable[list[FileRow]]]
"""Rows after a path."""


class ProjectFileViews(Audited):
    def __init__(self, database: Database, files: ProjectFiles, objects: ProjectObjects) -> None:
        super().__init__(database)
        self._files = files
        self._objects = objects
        self._archives = Slots(ARCHIVES_AT_ONCE, each=OF_ONE, seconds=ARCHIVE_SECONDS)

    @refusals_told("list")
    async def tree(
        self, visitor: Visitor, path: str, window: Window, *, depth: int = 1
    ) -> WorkspaceTree:
        """What lies in a directory, `depth` levels of it; audited."""
        project_id, limit = visitor.project_id, window.limit + 1

        async def fetch(connection: Connection, after: str) -> list[FileRow]:
            if depth == 1:
                return await store.children(connection, project_id, path, after=after, limit=limit)
            return await store.levels(connection, project_id, path, depth, after=after, limit=limit)

        scope = f"project files {project_id} {path} {depth}"
        rows, rules, cursor = await self._page(visitor, path, window, scope, fetch)
        await self.tell(visitor, "files.list", path)
        items = [
            self._files.entry(row, visitor_may=rules.may(visitor.role, row.path, "read"))
            for row in rows
        ]
        return WorkspaceTree(items=items, next_cursor=cursor)

    @refusals_told("search")
    async def search(
        self, visitor: Visitor, path: str, words: str, window: Window
    ) -> WorkspaceMatches:
        """Whose own names hold the words, upper and lower case alike; audited."""
        require_words(words)
        project_id, limit = visitor.project_id, window.limit + 1

        async def fetch(connection: Connection, after: str) -> list[FileRow]:
            return await store.named(connection, project_id, path, words, after=after, limit=limit)

        scope = f"project files {project_id} {path} named {words}"
        rows, rules, cursor = await self._page(visitor, path, window, scope, fetch)
        await self.tell(visitor, "files.search", path, {"name": words})
        items = [
            FoundFile(
                entry=self._files.entry(row, visitor_may=rules.may(visitor.role, row.path, "read"))
            )
            for row in rows
        ]
        return WorkspaceMatches(items=items, next_cursor=cursor)

    @refusals_told("download")
    async def is_directory(self, visitor: Visitor, path: str) -> bool:
        """Raises `not_found`, `sensitive_path`."""
        if not path:
            return True
        require_path(path)
        async with self._database.reading() as connection:
            rules = await self._files.rules_in_force(connection, visitor.project_id)
            require(rules, visitor, path, "read")
            row = await store.get(connection, visitor.project_id, path)
        if row is None:
            raise absent(path, "path")
        return row.sha256 is None

    @refusals_told("download")
    async def archive(self, visitor: Visitor, path: str) -> AsyncGenerator[bytes]:
        """A directory as a zip, without what the caller may not read; audited.

        What is wrong with the path is raised before the first bytes.
        """
        rules = await self.readable(visitor, path)
        await self.tell(visitor, "files.download", path)
        return self._shared(path, visitor, rules)

    async def _shared(self, path: str, visitor: Visitor, rules: Rules) -> AsyncGenerator[bytes]:
        """Raises `rate_limited` where others take theirs."""
        await self._archives.wait(visitor.user_id)
        with self._archives.taken(visitor.user_id):
            made = timed(self._pieces(visitor.project_id, path, visitor, rules))
            async with aclosing(made) as pieces:
                async for piece in pieces:
                    yield piece

    async def _pieces(
        self, project_id: UUID, path: str, visitor: Visitor, rules: Rules
    ) -> AsyncGenerator[bytes]:
        pieces, after = ZipPieces(), ""
        while rows := await self._beneath(project_id, path, after):
            for row in rows:
                async for piece in self._archived(pieces, path, row, visitor, rules):
                    yield piece
            after = rows[-1].path
        yield pieces.finish()

    async def _archived(
        self, pieces: ZipPieces, top: str, row: FileRow, visitor: Visitor, rules: Rules
    ) -> AsyncGenerator[bytes]:
        inner = row.path[len(top) :].lstrip("/").encode()
        if not rules.may(visitor.role, row.path, "read"):
            if rules.may_unless_sensitive(visitor.role, row.path, "read"):
                pieces.leave_out(inner, WITHHELD)
            return
        mtime = row.updated_at.timestamp()
        if row.sha256 is None:
            yield pieces.directory(inner, 0o755, mtime)
            return
        yield pieces.begin(inner, 0o755 if row.executable else 0o644, mtime)
        async with aclosing(self._objects.content(row, None)) as content:
            async for piece in content:
                yield pieces.content(piece)
        yield pieces.end()

    async def _beneath(self, project_id: UUID, path: str, after: str) -> Sequence[FileRow]:
        async with self._database.reading() as connection:
            return await store.beneath(
                connection, project_id, path, after=after, limit=ROWS_AT_ONCE
            )

    async def readable(self, visitor: Visitor, path: str) -> Rules:
        """Raises what is wrong with a directory that is asked for."""
        if path:
            require_path(path)
        async with self._database.reading() as connection:
            rules = await self._files.rules_in_force(connection, visitor.project_id)
            if path:
                require(rules, visitor, path, "read")
                row = await store.get(connection, visitor.project_id, path)
                if row is None or row.sha256 is not None:
                    raise absent(f"directory {path}", "path")
        return rules

    async def _page(
        self, visitor: Visitor, path: str, window: Window, scope: str, fetch: Fetch
    ) -> tuple[list[FileRow], Rules, str | None]:
        """Rows whose names the caller may know: of sensitive ones too, their content excepted."""
        rules = await self.readable(visitor, path)
        after = place_of(scope, window.cursor)
        async with self._database.reading() as connection:
            rows = await fetch(connection, after)
        more = len(rows) > window.limit
        kept = rows[: window.limit]
        last = cursors.cursor_of(scope, kept[-1].path.encode()) if more else None
        known = [row for row in kept if rules.may_unless_sensitive(visitor.role, row.path, "read")]
        return known, rules, last


def place_of(scope: str, cursor: str | None) -> str:
    """The path that a cursor goes on behind; anybody can make one. Raises `bad_cursor`."""
    text = (cursors.after(scope, cursor) or b"").decode(errors="replace")
    if "\0" in text:
        raise BerthError(
            Code.BAD_CURSOR, "cursor: take it from `next_cursor` of the same list", field="cursor"
        )
    return text
