"""Many files of a project in one request: all of them, or none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from chassis.errors import BerthError
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.workspace_files import TRANSFER_SECONDS, UploadedFiles, WorkspaceEntry
from control_plane.domain.project_files import FileRow, Rules, Visitor, ancestors_of
from control_plane.services.project_file_audit import Audited, refusals_told
from control_plane.services.project_file_rights import require, require_path, wrong
from control_plane.services.project_files import Bounds, ProjectFiles
from control_plane.services.project_objects import ProjectObjects, Received, received
from control_plane.services.sent_files import Sent
from control_plane.store import audit
from control_plane.store import project_files as store
from control_plane.store.database import Database, Unit
from control_plane.store.project_files import NewFile

AT_ONCE = 8
"""Files that are put into the store at a time; until then each is a file without a name."""
MOST_TOLD = 200
"""Of more, only the counts are told."""


@dataclass(slots=True)
class _Upload:
    files: dict[str, NewFile] = field(default_factory=dict[str, NewFile])
    """By path: the last one counts."""
    directories: set[str] = field(default_factory=set[str])
    """That were sent themselves."""
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Of their objects, by hash."""
    bytes: int = 0

    @property
    def all_directories(self) -> set[str]:
        above = (ancestors_of(path) for path in (*self.files, *self.directories))
        return self.directories.union(*above)


class ProjectUploads(Audited):
    def __init__(
        self, database: Database, files: ProjectFiles, objects: ProjectObjects, *, bounds: Bounds
    ) -> None:
        super().__init__(database)
        self._files = files
        self._objects = objects
        self._bounds = bounds

    @refusals_told("write")
    async def take(self, visitor: Visitor, sent: AsyncIterator[Sent]) -> UploadedFiles:
        """Files that are there are replaced. Nothing of a file is read before it is allowed. Raises
        `validation_failed`, `too_large`, `not_found`, `forbidden`, `sensitive_path`, and what
        `sent` raises.
        """
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                upload = await self._received(visitor, sent)
        except TimeoutError:
            detail = f"an upload takes at most {TRANSFER_SECONDS:g} s"
            raise BerthError(Code.VALIDATION, detail, field="body") from None
        await failpoint("project_uploads.received")
        async with self._database.unit() as unit:
            await store.lock(unit, visitor.project_id)
            made = await self._commit(unit, visitor, upload)
            return await self._told(unit, visitor, upload, made)

    async def _received(self, visitor: Visitor, sent: AsyncIterator[Sent]) -> _Upload:
        async with self._database.reading() as connection:
            rules = await self._files.rules_in_force(connection, visitor.project_id)
        upload = _Upload()
        while await self._some(visitor, rules, sent, upload):
            continue
        return upload

    async def _some(
        self, visitor: Visitor, rules: Rules, sent: AsyncIterator[Sent], upload: _Upload
    ) -> bool:
        """False: there are no more."""
        async with AsyncExitStack() as opened:
            bodies: list[tuple[Sent, Received]] = []
            while len(bodies) < AT_ONCE and (one := await anext(sent, None)) is not None:
                require_path(one.path, "body")
                if one.content is None:
                    upload.directories.add(one.path)
                else:
                    require(rules, visitor, one.path, "write")
                    incoming = received(one.content, limit=self._bounds.file_bytes)
                    body = await opened.enter_async_context(incoming)
                    bodies.append((one, body))
                    upload.bytes += body.length
                self._require_bounds(upload, len(bodies))
            await self._keep(visitor, [body for _, body in bodies], upload.keys)
            for one, body in bodies:
                upload.files[one.path] = NewFile(
                    sha256=body.sha256, size=body.length, executable=one.executable
                )
        return len(bodies) == AT_ONCE

    async def _keep(self, visitor: Visitor, bodies: list[Received], keys: dict[str, str]) -> None:
        new = {body.sha256: body for body in bodies if body.sha256 not in keys}
        kept = await asyncio.gather(
            *(self._objects.keep(visitor.project_id, body) for body in new.values())
        )
        keys.update(zip(new, kept, strict=True))

    def _require_bounds(self, upload: _Upload, more: int) -> None:
        """Before the rest is read: what the project may have in all, one upload may not exceed."""
        entries = len(upload.files) + len(upload.directories) + more
        if entries > self._bounds.entries or upload.bytes > self._bounds.project_bytes:
            most = f"{self._bounds.entries} entries and {self._bounds.project_bytes} bytes"
            raise BerthError(Code.TOO_LARGE, f"the project's files may have {most} in all")

    async def _commit(self, unit: Unit, visitor: Visitor, upload: _Upload) -> list[str]:
        """What was made of the directories that were sent. All is asked anew, as in `write`."""
        project_id, by = visitor.project_id, visitor.user_id
        directories = upload.all_directories
        rows = await store.get_many(unit.connection, project_id, [*upload.files, *directories])
        there = {row.path: row for row in rows}
        made = sorted(upload.directories - there.keys())
        rules = await self._files.rules_in_force(unit.connection, project_id)
        for path in (*upload.files, *made):
            require(rules, visitor, path, "write")
        _require_no_clash(upload, directories, there)
        await self._objects.confirm(unit, project_id, upload.keys)
        await store.make_directories(unit, project_id, sorted(directories), by=by)
        await store.put_many(unit, project_id, upload.files, by=by)
        await self._files.require_room(unit, project_id)
        await audit.record_many(
            unit,
            project_id,
            actor=by,
            actions=[
                *(("files.mkdir", path, {}) for path in made),
                *(
                    ("files.write", path, {"bytes": file.size, "sha256": file.sha256})
                    for path, file in upload.files.items()
                ),
            ],
        )
        return made

    async def _told(
        self, unit: Unit, visitor: Visitor, upload: _Upload, made: list[str]
    ) -> UploadedFiles:
        items: list[WorkspaceEntry] = []
        if len(upload.files) <= MOST_TOLD:
            rows = await store.get_many(unit.connection, visitor.project_id, list(upload.files))
            items = [self._files.entry(row) for row in rows]
        size = sum(file.size for file in upload.files.values())
        return UploadedFiles(
            items=items, files=len(upload.files), directories=len(made), bytes=size
        )


def _require_no_clash(upload: _Upload, directories: set[str], there: dict[str, FileRow]) -> None:
    """Between what is sent and what is there, and within what is sent."""
    if clashing := sorted(directories & upload.files.keys()):
        raise wrong("body", clashing[0], f"each path once: {clashing[0]} is file and directory")
    for path, row in sorted(there.items()):
        if (row.sha256 is None) is not (path in directories):
            kind = "a directory" if row.sha256 is None else "a file"
            raise wrong("body", path, f"files over files: there is {kind} at {path}")
