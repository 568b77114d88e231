"""What executors call through their relay: reports of their spool, and the taking of answers."""

from uuid import UUID

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.spool import REPORT, TAKE_GRANT, GrantTaken, Report, Reported, TakeGrant
from control_plane.domain.access import WorkerCaller
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import WORKER
from control_plane.services.human_loop import HumanLoop
from control_plane.services.reports import Reports


@post(litestar_path(REPORT), opt=WORKER, status_code=200)
async def report(
    worker_id: FromPath[UUID],
    data: JSONBody[Report],
    worker: NamedDependency[WorkerCaller],
    reports: NamedDependency[Reports],
) -> Reported:
    return await reports.report(worker_id, worker.session_id, data)


@post(litestar_path(TAKE_GRANT), opt=WORKER, status_code=200)
async def take_grant(
    request_id: FromPath[UUID],
    data: JSONBody[TakeGrant],
    worker: NamedDependency[WorkerCaller],
    human_loop: NamedDependency[HumanLoop],
) -> GrantTaken:
    return await human_loop.take(worker.id, worker.session_id, request_id, data)


CALLBACK_ROUTES = [report, take_grant]
