"""What executors call through their relay: reports of their spool, and the taking of answers."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.spool import REPORT, TAKE_GRANT, GrantTaken, Report, Reported, TakeGrant
from control_plane.domain.access import WorkerCaller
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import WORKER
from control_plane.services.human_loop import HumanLoop
from control_plane.services.reports import Reports

_decode_report = msgspec.json.Decoder(Report).decode


class ReportRequest(Request[Any, Any, Any]):
    """Litestar turns a body into plain values first, and these into the type: a `msgspec.Raw`, as
    an event is here, can only be cut out of the JSON itself.
    """

    async def json(self) -> Report:
        try:
            return _decode_report(await self.body())
        except msgspec.MsgspecError as error:
            raise BerthError(
                Code.VALIDATION, f"body: {error}", field="body", expected="a report"
            ) from error


@post(litestar_path(REPORT), opt=WORKER, status_code=200, request_class=ReportRequest)
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
