"""A project's own files: who may do what, what changes, and that it was done."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import BerthError
from chassis.files.sensitive import Sensitive
from contracts.errors import Code
from contracts.project_files import ProjectFileRule, ProjectFileRules, PutProjectFileRules
from contracts.workspace_files import (
    DeletedPath,
    EntryKind,
    MakeDirectory,
    RenamePath,
    WorkspaceEntry,
    WrittenFile,
)
from control_plane.domain.project_files import (
    FileRow,
    Right,
    Rules,
    Visitor,
    ancestors_of,
    etag_of,
    is_beneath,
)
from control_plane.services.project_file_audit import Audited, record, refusals_told
from control_plane.services.project_file_rights import (
    absent,
    forbidden,
    require,
    require_path,
    require_rules,
    require_tags,
    taken,
    wrong,
)
from control_plane.services.project_objects import ProjectObjects, received
from control_plane.store import audit
from control_plane.store import project_files as store
from control_plane.store.database import Connection, Database, Unit
from control_plane.store.project_files import NewFile

ROWS_AT_ONCE = 1000
FILE_MODE, EXECUTABLE_MODE, DIRECTORY_MODE = 0o444, 0o555, 0o555


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    file_bytes: int
    project_bytes: int
    entries: int
    """Files and directories of a project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    path: str
    if_match: str | None = None
    if_none_match: str | None = None
    executable: bool = False


class ProjectFiles(Audited):
    def __init__(
        self, database: Database, objects: ProjectObjects, *, sensitive: Sensitive, bounds: Bounds
    ) -> None:
        super().__init__(database)
        self._objects = objects
        self._sensitive = sensitive
        self._bounds = bounds

    @refusals_told("read")
    async def opened(self, visitor: Visitor, path: str) -> FileRow:
        """A file to be read; audited. Raises `not_found`, `forbidden`, `sensitive_path`."""
        require_path(path)
        async with self._database.unit() as unit:
            await self._require(unit.connection, visitor, path, "read")
            row = await _existing(unit.connection, visitor.project_id, path)
            if row.sha256 is None:
                raise wrong("path", path, "the path of a file: this is a directory")
            await record(unit, visitor, "files.read", path)
        return row

    @refusals_told("write")
    async def write(
        self, visitor: Visitor, asked: Writing, parts: AsyncIterator[bytes]
    ) -> WrittenFile:
        """Also a new file, with the directories above it. Nothing is read before it is allowed."""
        require_path(asked.path)
        async with self._database.reading() as connection:
            await self._require(connection, visitor, asked.path, "write")
            former = await store.get(connection, visitor.project_id, asked.path)
        _require_file(former)
        require_tags(former, asked.if_match, asked.if_none_match)
        async with received(parts, limit=self._bounds.file_bytes) as body:
            key = await self._objects.keep(visitor.project_id, body)
        async with self._database.unit() as unit:
            await store.lock(unit, visitor.project_id)
            # all of it once more: the body may have taken its time
            await self._require(unit.connection, visitor, asked.path, "write")
            former = await store.get(unit.connection, visitor.project_id, asked.path)
            _require_file(former)
            require_tags(former, asked.if_match, asked.if_none_match)
            await self._objects.confirm(unit, visitor.project_id, {body.sha256: key})
            await self._make_above(unit, visitor, asked.path)
            file = NewFile(sha256=body.sha256, size=body.length, executable=asked.executable)
            await store.put_many(unit, visitor.project_id, {asked.path: file}, by=visitor.user_id)
            await self.require_room(unit, visitor.project_id)
            detail = {"bytes": body.length, "sha256": body.sha256}
            await record(unit, visitor, "files.write", asked.path, detail)
            row = await _existing(unit.connection, visitor.project_id, asked.path)
        return WrittenFile(entry=self.entry(row), created=former is None)

    @refusals_told("mkdir")
    async def mkdir(self, visitor: Visitor, asked: MakeDirectory) -> WorkspaceEntry:
        require_path(asked.path)
        async with self._database.unit() as unit:
            await store.lock(unit, visitor.project_id)
            await self._require(unit.connection, visitor, asked.path, "write")
            there = await store.get(unit.connection, visitor.project_id, asked.path)
            if there is not None and (there.sha256 is not None or not asked.parents):
                raise taken("path", asked.path)
            await self._make_above(unit, visitor, asked.path)
            await store.make_directories(unit, visitor.project_id, [asked.path], by=visitor.user_id)
            await self.require_room(unit, visitor.project_id)
            await record(unit, visitor, "files.mkdir", asked.path)
            return self.entry(await _existing(unit.connection, visitor.project_id, asked.path))

    @refusals_told("rename")
    async def rename(self, visitor: Visitor, asked: RenamePath) -> WorkspaceEntry:
        """A file, or a directory with all that is in it, for who may read and write all of it."""
        require_path(asked.from_, "from")
        require_path(asked.to, "to")
        if is_beneath(asked.to, asked.from_):
            raise wrong("to", asked.to, "a path that is not in what is moved")
        async with self._database.unit() as unit:
            await store.lock(unit, visitor.project_id)
            await _existing(unit.connection, visitor.project_id, asked.from_, field="from")
            await self._require_all(unit, visitor, asked.from_, rights=("read", "write"))
            await self._require_all(unit, visitor, asked.to, rights=("write",))
            await self._require_short(unit, visitor, asked)
            await self._clear(unit, visitor, asked)
            await self._make_above(unit, visitor, asked.to)
            await store.move(unit, visitor.project_id, asked.from_, asked.to, by=visitor.user_id)
            await record(unit, visitor, "files.rename", asked.from_, {"to": asked.to})
            return self.entry(await _existing(unit.connection, visitor.project_id, asked.to))

    @refusals_told("delete")
    async def delete(self, visitor: Visitor, path: str, if_match: str | None) -> DeletedPath:
        """A file, or a directory with all that is in it."""
        require_path(path)
        async with self._database.unit() as unit:
            await store.lock(unit, visitor.project_id)
            row = await _existing(unit.connection, visitor.project_id, path)
            await self._require_all(unit, visitor, path, rights=("write",))
            require_tags(row, if_match)
            removed = await store.remove(unit, visitor.project_id, path)
            await record(unit, visitor, "files.delete", path, {"removed": removed})
        return DeletedPath(path=path)

    async def rules(self, project_id: UUID) -> ProjectFileRules:
        async with self._database.reading() as connection:
            return ProjectFileRules(rules=await store.rules(connection, project_id))

    async def put_rules(
        self, project_id: UUID, asked: PutProjectFileRules, *, by: UUID
    ) -> ProjectFileRules:
        """Raises `validation_failed` that names the rule; audited."""
        require_rules(asked.rules)
        async with self._database.unit() as unit:
            await store.lock(unit, project_id)
            await store.set_rules(unit, project_id, asked.rules)
            detail = {"rules": [_told(rule) for rule in asked.rules]}
            await audit.record(
                unit, project_id, actor=by, action="files.rules", target="", detail=detail
            )
        return ProjectFileRules(rules=asked.rules)

    def entry(self, row: FileRow, *, visitor_may: bool = True) -> WorkspaceEntry:
        is_file = row.sha256 is not None
        mode = (EXECUTABLE_MODE if row.executable else FILE_MODE) if is_file else DIRECTORY_MODE
        return WorkspaceEntry(
            path=row.path,
            name=row.path.rpartition("/")[2],
            kind=EntryKind.FILE if is_file else EntryKind.DIRECTORY,
            size=row.size,
            mode=mode,
            mtime=row.updated_at.timestamp(),
            etag=etag_of(row.sha256) if row.sha256 is not None else "",
            withheld=not visitor_may,
        )

    async def rules_in_force(self, connection: Connection, project_id: UUID) -> Rules:
        return Rules(await store.rules(connection, project_id), self._sensitive)

    async def require_room(self, unit: Unit, project_id: UUID) -> None:
        """Raises `too_large`, with what is already written."""
        use = await store.use(unit, project_id)
        most = {"bytes": self._bounds.project_bytes, "entries": self._bounds.entries}
        for what, used in {"bytes": use.bytes, "entries": use.entries}.items():
            if used > most[what]:
                raise BerthError(
                    Code.TOO_LARGE,
                    f"the project's files may have {most[what]} {what} in all; with this {used}",
                    limit=most[what],
                    of=what,
                )

    async def _require(
        self, connection: Connection, visitor: Visitor, path: str, right: Right
    ) -> None:
        rules = await self.rules_in_force(connection, visitor.project_id)
        require(rules, visitor, path, right)

    async def _require_all(
        self, unit: Unit, visitor: Visitor, path: str, *, rights: tuple[Right, ...]
    ) -> None:
        """With all that is in it."""
        rules = await self.rules_in_force(unit.connection, visitor.project_id)
        for right in rights:
            require(rules, visitor, path, right)
            if not rules.may_throughout(visitor.role, path, right):
                raise forbidden(visitor, path, right, "all of")
        async for row in _within(unit, visitor.project_id, path):
            for right in rights:
                require(rules, visitor, row.path, right)

    async def _require_short(self, unit: Unit, visitor: Visitor, asked: RenamePath) -> None:
        """What is in a directory gets longer paths with it."""
        async for row in _within(unit, visitor.project_id, asked.from_):
            require_path(asked.to + row.path[len(asked.from_) :], "to")

    async def _make_above(self, unit: Unit, visitor: Visitor, path: str) -> None:
        if (there := await store.in_the_way(unit, visitor.project_id, path)) is not None:
            raise wrong("path", path, f"a path whose directories are no files: {there} is one")
        above = ancestors_of(path)
        await store.make_directories(unit, visitor.project_id, above, by=visitor.user_id)

    async def _clear(self, unit: Unit, visitor: Visitor, asked: RenamePath) -> None:
        there = await store.get(unit.connection, visitor.project_id, asked.to)
        if there is None:
            return
        if there.sha256 is None or not asked.overwrite:
            raise taken("to", asked.to)
        await store.remove(unit, visitor.project_id, asked.to)


async def _existing(
    connection: Connection, project_id: UUID, path: str, *, field: str = "path"
) -> FileRow:
    row = await store.get(connection, project_id, path)
    if row is None:
        raise absent(path, field)
    return row


async def _within(unit: Unit, project_id: UUID, path: str) -> AsyncIterator[FileRow]:
    """All that is in a directory."""
    after = ""
    while rows := await store.beneath(
        unit.connection, project_id, path, after=after, limit=ROWS_AT_ONCE
    ):
        for row in rows:
            yield row
        after = rows[-1].path


def _require_file(row: FileRow | None) -> None:
    if row is not None and row.sha256 is None:
        raise wrong("path", row.path, "the path of a file: there is a directory")


def _told(rule: ProjectFileRule) -> dict[str, str]:
    return {"prefix": rule.prefix, "read": rule.read, "write": rule.write}
