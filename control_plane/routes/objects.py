"""What executors ask for their workspaces: a restore plan, signed URLs, a side snapshot."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from contracts.snapshots import (
    COMMIT_SIDE,
    DOWNLOADS,
    RESTORE,
    UPLOADS,
    AskDownloads,
    AskRestore,
    AskUploads,
    CommitSide,
    Downloads,
    RestorePlan,
    SideCommitted,
    Uploads,
)
from control_plane.domain.access import WorkerCaller
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import SUPERSEDED_WORKER, WORKER
from control_plane.services.snapshots import Snapshots


@post(litestar_path(RESTORE), opt=WORKER, status_code=200)
async def plan_restore(
    data: JSONBody[AskRestore],
    worker: NamedDependency[WorkerCaller],
    snapshots: NamedDependency[Snapshots],
) -> RestorePlan:
    return await snapshots.plan(worker, data)


@post(litestar_path(UPLOADS), opt=SUPERSEDED_WORKER, status_code=200)
async def sign_uploads(
    data: JSONBody[AskUploads],
    worker: NamedDependency[WorkerCaller],
    snapshots: NamedDependency[Snapshots],
) -> Uploads:
    return await snapshots.uploads(worker, data)


@post(litestar_path(DOWNLOADS), opt=WORKER, status_code=200)
async def sign_downloads(
    data: JSONBody[AskDownloads],
    worker: NamedDependency[WorkerCaller],
    snapshots: NamedDependency[Snapshots],
) -> Downloads:
    return await snapshots.downloads(worker, data)


@post(litestar_path(COMMIT_SIDE), opt=SUPERSEDED_WORKER, status_code=200)
async def commit_side(
    data: JSONBody[CommitSide],
    worker: NamedDependency[WorkerCaller],
    snapshots: NamedDependency[Snapshots],
) -> SideCommitted:
    return await snapshots.commit_side(worker, data)


OBJECT_ROUTES = [plan_restore, sign_uploads, sign_downloads, commit_side]
