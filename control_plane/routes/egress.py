"""`/api/v1/projects/{id}/egress`: what a project's sessions may reach; what relays denied them."""

from uuid import UUID

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, JSONBody

from contracts.egress import TELL_DENIALS, AskedEgress, EgressPolicy, TellDenials
from contracts.wire import Empty
from control_plane.domain.access import Principal, WorkerCaller
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import MANAGE_PROJECT, READ_PROJECT, WORKER
from control_plane.routes.ranges import tell_range
from control_plane.services.egress import Egress

PATH = "/api/v1/projects/{project_id:uuid}/egress"


@get(PATH, opt=READ_PROJECT, tags=["egress"])
async def get_egress(
    project_id: FromPath[UUID], egress_policies: NamedDependency[Egress]
) -> EgressPolicy:
    """Of sessions whose app has none of its own."""
    return await egress_policies.get(project_id)


@put(
    PATH,
    opt=MANAGE_PROJECT,
    status_code=200,
    tags=["egress"],
    exception_handlers={ValidationException: tell_range},
)
async def put_egress(
    *,
    project_id: FromPath[UUID],
    data: JSONBody[AskedEgress],
    principal: NamedDependency[Principal],
    egress_policies: NamedDependency[Egress],
) -> EgressPolicy:
    """For owners; audited. Replaces all of it; the profile `none` takes everything away."""
    return await egress_policies.put(project_id, data, by=principal.user_id)


@post(litestar_path(TELL_DENIALS), opt=WORKER, status_code=200)
async def tell_denials(
    worker_id: FromPath[UUID],
    data: JSONBody[TellDenials],
    worker: NamedDependency[WorkerCaller],
    egress_policies: NamedDependency[Egress],
) -> Empty:
    del worker_id  # the guard has looked at it
    await egress_policies.tell(worker, data)
    return Empty()


EGRESS_ROUTES = [get_egress, put_egress, tell_denials]
