"""Passes over a project's workers and runs that are asked for, and `/api/v1/jobs`, their counts."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from contracts.jobs import Job, JobKind, JobPage
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import READ, READ_JOB, WRITE
from control_plane.routes.wishes import (
    Cursor,
    IdempotencyKey,
    Limit,
    ask_of,
    replayed_headers,
    window,
)
from control_plane.services.access import Access
from control_plane.services.idempotency import Once
from control_plane.services.jobs import Jobs


@post("/api/v1/session-workers/cleanup/idle", opt=WRITE, status_code=202, tags=["session-workers"])
async def clean_up_idle(
    *,
    request: Request[Any, Any, Any],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    jobs: NamedDependency[Jobs],
    project_id: FromQuery[UUID | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[Job]:
    """Has every worker of the project that has no live run save and stop, now.

    Not those that are kept warm, nor those that could not save yet.

    `Location` is the job.
    """
    project = access.project_for(principal, Action.WRITE, project_id)
    ask = ask_of(request, principal, project, idempotency_key)
    return _accepted(
        await jobs.create(ask, JobKind.CLEANUP_IDLE, project_id=project, by=principal.user_id)
    )


@post(
    "/api/v1/session-workers/cleanup/stopped", opt=WRITE, status_code=202, tags=["session-workers"]
)
async def clean_up_stopped(
    *,
    request: Request[Any, Any, Any],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    jobs: NamedDependency[Jobs],
    project_id: FromQuery[UUID | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[Job]:
    """Has every stopped worker of the project removed, now, with its volume.

    What no committed snapshot covers stays.

    `Location` is the job.
    """
    project = access.project_for(principal, Action.WRITE, project_id)
    ask = ask_of(request, principal, project, idempotency_key)
    return _accepted(
        await jobs.create(ask, JobKind.CLEANUP_STOPPED, project_id=project, by=principal.user_id)
    )


@post("/api/v1/reconcile/runs", opt=WRITE, status_code=202, tags=["reconcile"])
async def reconcile_runs(
    *,
    request: Request[Any, Any, Any],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    jobs: NamedDependency[Jobs],
    project_id: FromQuery[UUID | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[Job]:
    """Looks at every line of the project, now: what nobody carries on is tried again, or ended.

    `Location` is the job.
    """
    project = access.project_for(principal, Action.WRITE, project_id)
    ask = ask_of(request, principal, project, idempotency_key)
    return _accepted(
        await jobs.create(ask, JobKind.RECONCILE_RUNS, project_id=project, by=principal.user_id)
    )


@post("/api/v1/reconcile/sync", opt=WRITE, status_code=202, tags=["reconcile"])
async def reconcile_sync(
    *,
    request: Request[Any, Any, Any],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    jobs: NamedDependency[Jobs],
    project_id: FromQuery[UUID | None] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response[Job]:
    """Has every worker save, now, that wrote longer ago than policy allows and has not saved since.

    `Location` is the job.
    """
    project = access.project_for(principal, Action.WRITE, project_id)
    ask = ask_of(request, principal, project, idempotency_key)
    return _accepted(
        await jobs.create(ask, JobKind.RECONCILE_SYNC, project_id=project, by=principal.user_id)
    )


@get("/api/v1/jobs", opt=READ, tags=["jobs"])
async def list_jobs(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    jobs: NamedDependency[Jobs],
    project_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    return await jobs.listed(access.projects_for(principal, project_id), window(limit, cursor))


@get("/api/v1/jobs/{job_id:uuid}", opt=READ_JOB, tags=["jobs"])
async def get_job(job_id: FromPath[UUID], jobs: NamedDependency[Jobs]) -> Job:
    """Its counts move while it is `running`."""
    return await jobs.get(job_id)


def _accepted(made: Once[Job]) -> Response[Job]:
    headers = {
        "Location": f"/api/v1/jobs/{made.value.id}",
        **replayed_headers(replayed=made.replayed),
    }
    return Response(made.value, headers=headers)


JOB_ROUTES = [
    clean_up_idle,
    clean_up_stopped,
    reconcile_runs,
    reconcile_sync,
    list_jobs,
    get_job,
]
