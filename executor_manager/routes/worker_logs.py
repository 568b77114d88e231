"""`MANAGER_WORKER_LOGS`: a container's last output, to whoever brings a ticket for its worker."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from contracts.tickets import MANAGER_WORKER_LOGS, TICKET_HEADER
from executor_manager.services.worker_logs import WorkerLogs

Size = Annotated[int, QueryParameter(name="bytes")]


def worker_logs_route(logs: WorkerLogs) -> HTTPRouteHandler:
    @get(MANAGER_WORKER_LOGS.replace("{worker_id}", "{worker_id:uuid}"))
    async def worker_logs(
        worker_id: FromPath[UUID], request: Request[Any, Any, Any], size: Size
    ) -> Response[bytes]:
        ticket = request.headers.get(TICKET_HEADER, "")
        content = await logs.last(worker_id, ticket=ticket, size=size)
        return Response(content, media_type="application/octet-stream")

    return worker_logs
