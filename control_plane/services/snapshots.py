"""How a workspace's bytes get out and in: restore plans, signed URLs, side snapshots.

Executors hold no keys of the store: every URL is for one exact call on one exact object below the
session's own prefix. The keys of uploads are given here, each once.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.objects import ObjectStore
from chassis.telemetry import current_trace_id
from contracts.errors import Code
from contracts.events import WorkspaceSaved
from contracts.snapshots import (
    AskDownloads,
    AskRestore,
    AskUploads,
    CommitSide,
    Downloads,
    RestorePlan,
    RestorePoint,
    SideCommitted,
    Signed,
    SnapshotKind,
    SnapshotPage,
    Uploads,
)
from control_plane.domain.access import WorkerCaller
from control_plane.domain.cursors import Window
from control_plane.domain.packs import Upload, is_below, is_of, naming_of, session_prefix
from control_plane.services.layers import Layers
from control_plane.store import packs, session_saves, session_states
from control_plane.store import snapshots as store
from control_plane.store.database import Database, Unit
from control_plane.store.project_objects import prefix_of
from control_plane.store.snapshots import Point

URL_SECONDS = 900


class Snapshots:
    def __init__(self, database: Database, objects: ObjectStore, layers: Layers) -> None:
        self._database = database
        self._objects = objects
        self._layers = layers

    async def listed(self, session_id: UUID, window: Window) -> SnapshotPage:
        async with self._database.reading() as connection:
            return await store.listed(connection, session_id, window)

    async def plan(self, worker: WorkerCaller, ask: AskRestore) -> RestorePlan:
        """A checkpoint of its retried run, if one is newer than the head, then the head; a damaged
        head stands behind the nearest snapshot before it that is not.
        """
        _require_epoch(worker, ask.epoch)
        async with self._database.reading() as connection:
            head = await store.head(connection, worker.session_id)
            checkpoint = await store.checkpoint(
                connection, session_id=worker.session_id, worker_id=worker.id
            )
            damaged = head is not None and head.damaged
            before = await store.intact_before(connection, head.id) if head and damaged else None
        points = [] if head is None else [head]
        if checkpoint is not None and (head is None or checkpoint.order > head.order):
            points.insert(0, checkpoint)
        elif before is not None:
            points.insert(0, before)
        plan = RestorePlan(
            points=[self._restore_point(point) for point in points],
            head=None if head is None else head.id,
            damaged=[head.id] if head is not None and damaged else [],
        )
        async with self._database.reading() as connection:
            return await self._layers.laid_over(
                connection, plan, project_id=worker.project_id, session_id=worker.session_id
            )

    def _restore_point(self, point: Point) -> RestorePoint:
        return RestorePoint(
            snapshot_id=point.id,
            type=point.type,
            manifest=self._signed_get(point.manifest_key),
            manifest_sha256=point.manifest_sha256,
        )

    async def uploads(self, worker: WorkerCaller, ask: AskUploads) -> Uploads:
        """Each for exactly its bytes, at a key that was never given before."""
        _require_epoch(worker, ask.epoch)
        uploads = [
            Upload(
                key=f"{_prefix(worker)}{worker.epoch}/{new_id()}.{one.purpose}",
                purpose=one.purpose,
                length=one.length,
            )
            for one in ask.objects
        ]
        async with self._database.unit() as unit:
            await packs.record(
                unit, project_id=worker.project_id, session_id=worker.session_id, uploads=uploads
            )
        await failpoint("uploads.recorded")
        return Uploads(objects=await asyncio.to_thread(self._sign_puts, ask, uploads))

    def _sign_puts(self, ask: AskUploads, uploads: Sequence[Upload]) -> list[Signed]:
        signed: list[Signed] = []
        for one, upload in zip(ask.objects, uploads, strict=True):
            put = self._objects.presign_put(
                upload.key, length=one.length, md5_base64=one.md5, expires=URL_SECONDS
            )
            signed.append(Signed(key=upload.key, url=put.url, headers=put.headers))
        return signed

    async def downloads(self, worker: WorkerCaller, ask: AskDownloads) -> Downloads:
        """Raises NotFound for a key that is neither below this worker's session, nor named by a
        snapshot of it, nor of its project's files, whether it is there.
        """
        others = [key for key in ask.keys if not _is_given(worker, key)]
        if others:
            plain = [key for key in others if is_of(worker.project_id, key)]
            async with self._database.reading() as connection:
                named = await packs.named_by(connection, worker.session_id, plain)
            if not named.issuperset(others):
                raise NotFound(Code.NOT_FOUND, "there is no such object in this session")
        return Downloads(objects=await asyncio.to_thread(self._sign_gets, ask.keys))

    def _sign_gets(self, keys: Sequence[str]) -> list[Signed]:
        return [self._signed_get(key) for key in keys]

    def _signed_get(self, key: str) -> Signed:
        got = self._objects.presign_get(key, URL_SECONDS)
        return Signed(key=key, url=got.url, headers=got.headers)

    async def commit_side(self, worker: WorkerCaller, commit: CommitSide) -> SideCommitted:
        """What a superseded worker saved aside; never moves the head. A repetition is no error."""
        _require_side(worker, commit)
        await self._require_uploaded(commit)
        draft = commit.snapshot
        naming = naming_of(
            draft,
            project_id=worker.project_id,
            session_id=worker.session_id,
            spool_key=commit.spool_key,
        )
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [worker.session_id])
            gone = await packs.lock(unit, [naming])
            if await store.insert_side(unit, worker, draft, spool_key=commit.spool_key):
                if gone:
                    raise Stale(Code.SNAPSHOT_PACKS_GONE, "packs that it names are gone")
                await packs.name(unit, [naming])
                state = loaded.states[worker.session_id]
                state.trace_id = current_trace_id()
                told = state.tell(
                    WorkspaceSaved(
                        snapshot_id=draft.id,
                        type="side",
                        files=draft.files,
                        bytes=draft.bytes,
                        new_bytes=draft.new_bytes,
                    )
                )
                told.epoch = worker.epoch
                await session_saves.save(unit, loaded)
            else:
                await _require_same_session(unit, worker, draft.id)
        return SideCommitted(snapshot_id=draft.id)

    async def _require_uploaded(self, commit: CommitSide) -> None:
        """Before a transaction is open."""
        named = {"manifest_key": commit.snapshot.manifest_key, "spool_key": commit.spool_key}
        for field, key in named.items():
            if key is None:
                continue
            try:
                await self._objects.head(key)
            except NotFound as error:
                raise _wrong(field, "the key of an object that was uploaded") from error


def _prefix(worker: WorkerCaller) -> str:
    return session_prefix(worker.project_id, worker.session_id)


def _is_own(worker: WorkerCaller, key: str) -> bool:
    return is_below(_prefix(worker), key)


def _is_given(worker: WorkerCaller, key: str) -> bool:
    """Its own, or one of its project's files, whose keys nobody guesses: its plan names them."""
    return _is_own(worker, key) or is_below(prefix_of(worker.project_id), key)


def _require_epoch(worker: WorkerCaller, epoch: int) -> None:
    if epoch != worker.epoch:
        raise Stale(Code.STALE_EPOCH, f"this worker's epoch is {worker.epoch}", epoch=worker.epoch)


def _require_side(worker: WorkerCaller, commit: CommitSide) -> None:
    if not worker.superseded and not worker.released:
        raise Stale(Code.CONFLICT, "this worker is its session's: its snapshots go by its reports")
    if commit.snapshot.type is not SnapshotKind.SIDE:
        raise _wrong("type", SnapshotKind.SIDE.value)
    if not _is_own(worker, commit.snapshot.manifest_key):
        raise _wrong("manifest_key", "a key that was given for an upload")
    if commit.spool_key is not None and not _is_own(worker, commit.spool_key):
        raise _wrong("spool_key", "a key that was given for an upload")
    if not all(is_of(worker.project_id, key) for key in commit.snapshot.packs):
        raise _wrong("packs", "keys that were given for uploads")


async def _require_same_session(unit: Unit, worker: WorkerCaller, snapshot_id: UUID) -> None:
    if await store.session_of(unit, snapshot_id) != worker.session_id:
        raise Stale(Code.CONFLICT, "another session has a snapshot of this id")


def _wrong(field: str, expected: str) -> BerthError:
    return BerthError(
        Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
    )
