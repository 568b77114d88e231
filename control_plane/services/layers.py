"""What an app and a project lay over a session's workspace, as values: `contracts.snapshots.Layer`.

Of the project's files a session gets what the lowest role may read, for everybody in the project
can look into it; sensitive names only where a manifest names the very file.
"""

import hashlib
from uuid import UUID

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.runtime_manifests import RuntimeManifest, SeedFile
from contracts.snapshots import Layer, LayerFile, RestorePlan
from control_plane.domain.project_files import FileRow, Rules
from control_plane.domain.runtime_manifests import mounts_of
from control_plane.services.project_files import ProjectFiles
from control_plane.store import project_files as store
from control_plane.store import runtime_manifests
from control_plane.store.database import Connection

ROWS_AT_ONCE = 2000
MOST_FILES = 100_000
"""Of all layers: the same files may be wanted at many places."""


class Layers:
    def __init__(self, files: ProjectFiles) -> None:
        self._files = files

    async def laid_over(
        self, connection: Connection, plan: RestorePlan, *, project_id: UUID, session_id: UUID
    ) -> RestorePlan:
        """The plan with what its session's app says now."""
        manifest = await runtime_manifests.of_session(connection, session_id)
        return msgspec.structs.replace(
            plan,
            layers=await self.of(connection, project_id, manifest),
            required_paths=manifest.required_paths,
            cleanup_rules=manifest.cleanup_rules,
            protected_paths=manifest.protected_paths,
            conflict_policy=manifest.conflict_policy,
            runtime_version=manifest.runtime_version,
        )

    async def of(
        self, connection: Connection, project_id: UUID, manifest: RuntimeManifest
    ) -> list[Layer]:
        """Seeds, then mounts, in the manifest's order. Raises `validation_failed` for more files
        than there can be.
        """
        rules = await self._files.rules_in_force(connection, project_id)
        found: list[Layer] = []
        left = MOST_FILES
        for number, seed in enumerate(manifest.seed_files):
            layer = await _seed(connection, project_id, seed, rules)
            left = _left(left, layer.files, f"seed_files[{number}]")
            found.append(layer)
        for number, mount in enumerate(mounts_of(manifest)):
            files = await _files(connection, project_id, mount.source, rules)
            left = _left(left, files, f"mount_points[{number}]")
            # nothing is made for a project without files that nobody said anything about
            if files or manifest.mount_points is not None:
                found.append(Layer(kind="mount", path=mount.path, files=files))
        return found


def _left(left: int, files: list[LayerFile], field: str) -> int:
    if len(files) > left:
        expected = f"at most {MOST_FILES} files and directories in all layers"
        raise BerthError(
            Code.VALIDATION,
            f"runtime_manifest.{field}: expected {expected}",
            field=f"runtime_manifest.{field}",
            expected=expected,
        )
    return left - len(files)


async def _seed(connection: Connection, project_id: UUID, seed: SeedFile, rules: Rules) -> Layer:
    if seed.text is not None:
        content = seed.text.encode()
        file = LayerFile(
            path="",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            executable=seed.executable,
            text=seed.text,
        )
        return Layer(kind="seed", path=seed.path, files=[file])
    files = await _files(connection, project_id, seed.source or "", rules)
    if seed.executable:
        files = [msgspec.structs.replace(file, executable=True) for file in files]
    return Layer(kind="seed", path=seed.path, unpack=seed.unpack, files=files)


async def _files(
    connection: Connection, project_id: UUID, source: str, rules: Rules
) -> list[LayerFile]:
    """The file itself, or all that is in the directory; nothing where there is neither."""
    row = await store.get(connection, project_id, source) if source else None
    if row is not None and row.sha256 is not None:
        return [_file(row, "")] if rules.in_sessions(row.path, named=True) else []
    found: list[LayerFile] = []
    after = ""
    while rows := await store.beneath(
        connection, project_id, source, after=after, limit=ROWS_AT_ONCE
    ):
        found += [
            _file(one, one.path[len(source) :].lstrip("/"))
            for one in rows
            if rules.in_sessions(one.path, named=False)
        ]
        after = rows[-1].path
    return found


def _file(row: FileRow, path: str) -> LayerFile:
    return LayerFile(
        path=path, size=row.size, sha256=row.sha256, executable=row.executable, key=row.key
    )
