"""What a restore would do, told without doing it: layers, conflicts, and what would block a run.

Of a session it is read from the manifest of its head snapshot; an executor that restores decides
the same, from the tree itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

from chassis.errors import BerthError, NotFound
from contracts.errors import Code
from contracts.reasons import Reason
from contracts.runtime_manifests import (
    AskRestorePlan,
    ConflictPolicy,
    PlannedConflict,
    PlannedLayer,
    RunRestorePlan,
    RuntimeCheck,
    RuntimeManifest,
)
from contracts.snapshots import Layer
from control_plane.domain import planned_layers as domain
from control_plane.domain.planned_layers import Record, bytes_of
from control_plane.services.layers import Layers
from control_plane.services.manifests import Manifests, walked
from control_plane.services.runtime_manifests import manifest_of
from control_plane.store import runtime_manifests, snapshots
from control_plane.store.database import Connection, Database
from control_plane.store.snapshots import Point
from snapshots.manifest import Manifest
from snapshots.model import Item

RECORD_PATH = b".berth/layers.json"
RECORD_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is known before the head is read."""

    manifest: RuntimeManifest
    layers: Sequence[Layer]
    head: Point | None
    image: str


class RestorePlans:
    def __init__(self, database: Database, layers: Layers, manifests: Manifests) -> None:
        self._database = database
        self._layers = layers
        self._manifests = manifests

    async def compute(self, ask: AskRestorePlan, *, project_id: UUID) -> RunRestorePlan:
        """Raises `validation_failed` for a path that is none, `required_paths_missing`."""
        async with self._database.reading() as connection:
            manifest = await _wanted(connection, ask, project_id)
            planned = _Planned(
                manifest,
                await self._layers.of(connection, project_id, manifest),
                await _restored(connection, ask.session_id),
                await runtime_manifests.image(connection, ask.session_id, ask.app_id),
            )
        found, record = await self._head(planned)
        plan, missing = await asyncio.to_thread(
            _plan, ask.session_id, project_id, planned, found, record
        )
        if missing:
            raise BerthError(
                Code.REQUIRED_PATHS_MISSING,
                f"runtime_manifest.required_paths: not there after a restore: {', '.join(missing)}",
                field="runtime_manifest.required_paths",
                missing=missing,
                rule="required_paths",
            )
        return plan

    async def _head(self, planned: _Planned) -> tuple[Manifest | None, Record]:
        if planned.head is None:
            return None, Record()
        manifest = await self._manifests.read(
            planned.head.manifest_key, planned.head.manifest_sha256
        )
        item = await asyncio.to_thread(_record_in, manifest)
        if item is None:
            return manifest, Record()
        stored = await self._manifests.content(manifest, item, limit=RECORD_BYTES)
        try:
            return manifest, msgspec.json.decode(stored, type=Record)
        except msgspec.MsgspecError:
            return manifest, Record()


async def _restored(connection: Connection, session_id: UUID | None) -> Point | None:
    """The head, as for workers: of a damaged one the nearest before it that is not."""
    head = await snapshots.head(connection, session_id) if session_id else None
    if head is None or not head.damaged:
        return head
    return await snapshots.intact_before(connection, head.id) or head


def _record_in(manifest: Manifest) -> Item | None:
    """Raises `snapshot_damaged`."""
    found = next(walked(manifest.items_from(RECORD_PATH)), None)
    if found is None or found.path != RECORD_PATH or found.size > RECORD_BYTES:
        return None
    return found


async def _wanted(connection: Connection, ask: AskRestorePlan, project_id: UUID) -> RuntimeManifest:
    """As tried out, else the app's."""
    found: RuntimeManifest | None = runtime_manifests.UNSAID
    if ask.app_id is not None:
        found = await runtime_manifests.of_app(connection, project_id, ask.app_id)
        if found is None:
            raise NotFound(Code.APP_NOT_FOUND, f"there is no app {ask.app_id}")
    elif ask.session_id is not None:
        found = await runtime_manifests.of_session(connection, ask.session_id)
    return manifest_of(ask.runtime_manifest) if ask.runtime_manifest else found


def _plan(
    session_id: UUID | None,
    project_id: UUID,
    planned: _Planned,
    found: Manifest | None,
    record: Record,
) -> tuple[RunRestorePlan, list[str]]:
    """With the required paths that would be missing, if nothing else is in the way."""
    manifest = planned.manifest
    tree = domain.Tree(
        walked(found.items()) if found else [], domain.wanted(manifest, planned.layers)
    )
    conflicts = domain.conflicts(planned.layers, tree, record, manifest.conflict_policy)
    check = domain.check(record.runtime_version, manifest.runtime_version)
    listed = _listed(planned, found)
    plan = RunRestorePlan(
        session_id=session_id,
        project_id=project_id,
        snapshot_id=planned.head.id if planned.head else None,
        layers=listed,
        conflicts=conflicts,
        conflict_policy=manifest.conflict_policy,
        required_paths=manifest.required_paths,
        runtime=check,
        blocked=_blocked(check, conflicts, manifest.conflict_policy),
        files=sum(one.files for one in listed),
        bytes=sum(one.bytes for one in listed),
    )
    if plan.blocked is not None:
        return plan, []
    return plan, domain.missing(manifest, planned.layers, tree, conflicts)


def _blocked(
    check: RuntimeCheck, conflicts: Sequence[PlannedConflict], policy: ConflictPolicy
) -> Reason | None:
    if check.verdict == "refused":
        return Reason.RUNTIME_TOO_OLD
    return Reason.LAYER_CONFLICT if conflicts and policy is ConflictPolicy.FAIL else None


def _listed(planned: _Planned, found: Manifest | None) -> list[PlannedLayer]:
    manifest = planned.manifest
    layers = [PlannedLayer(layer="L0", what="runtime", source=planned.image)]
    layers += [_layer(one, "L1", "seed") for one in planned.layers if one.kind == "seed"]
    layers += [_layer(one, "L2", "mount") for one in planned.layers if one.kind == "mount"]
    if found is not None and planned.head is not None:
        totals = found.totals
        layers.append(
            PlannedLayer(
                layer="L3",
                what="snapshot",
                source=str(planned.head.id),
                files=totals.files,
                bytes=totals.bytes,
            )
        )
    layers += [
        PlannedLayer(layer="L4", what="cleanup", path=rule.path, source=rule.pattern)
        for rule in manifest.cleanup_rules
    ]
    layers += [
        PlannedLayer(layer="L4", what="protect", path=path) for path in manifest.protected_paths
    ]
    return layers


def _layer(
    layer: Layer, number: Literal["L1", "L2"], what: Literal["seed", "mount"]
) -> PlannedLayer:
    files = [file for file in layer.files if file.sha256 is not None]
    return PlannedLayer(
        layer=number, what=what, path=layer.path, files=len(files), bytes=bytes_of(layer)
    )
