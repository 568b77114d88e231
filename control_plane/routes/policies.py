"""Every route says who may call it; the guard asks before the handler sees the request.

`@get("/api/v1/runs/{run_id:uuid}", opt=READ_RUN)`: the guard proves the caller, finds the project
of what the path names, and leaves the caller in `principal` or `worker`. A route without a policy
is refused: nothing is open because it was forgotten.
"""

from dataclasses import dataclass
from typing import Any, Literal, assert_never, cast
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler

from chassis.auth import IDENTITY_HEADER
from chassis.errors import BerthError, Stale
from contracts.errors import Code
from control_plane.domain.access import Action, Noun, Principal, WorkerCaller
from control_plane.services.access import Access

Caller = Literal["anyone", "person", "administrator", "gateway", "manager", "worker"]

Connection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`noun`: the path's `<noun>_id` is looked up, and its project decides about `action`.

    Without one the handler itself asks for the project that the body or the query names.
    """

    caller: Caller
    action: Action = Action.READ
    noun: Noun | None = None
    for_person: bool = False
    """A service's call in the name of somebody, whose signed identity comes along."""
    superseded: bool = False
    """Also open to a worker that was superseded."""


def allow(policy: Policy) -> dict[str, Any]:
    """For a handler's `opt`."""
    return {"policy": policy}


def person(action: Action, noun: Noun | None = None) -> dict[str, Any]:
    return allow(Policy(caller="person", action=action, noun=noun))


READ = person(Action.READ)
WRITE = person(Action.WRITE)
MANAGE = person(Action.MANAGE)
READ_PROJECT = person(Action.READ, "project")
WRITE_PROJECT = person(Action.WRITE, "project")
MANAGE_PROJECT = person(Action.MANAGE, "project")
READ_SESSION = person(Action.READ, "session")
WRITE_SESSION = person(Action.WRITE, "session")
OPEN_SESSION = person(Action.OPEN_SENSITIVE, "session")
READ_RUN = person(Action.READ, "run")
WRITE_RUN = person(Action.WRITE, "run")
READ_TASK = person(Action.READ, "task")
WRITE_TASK = person(Action.WRITE, "task")
READ_REQUEST = person(Action.READ, "request")
WRITE_REQUEST = person(Action.WRITE, "request")
MANAGE_APP = person(Action.MANAGE, "app")
READ_JOB = person(Action.READ, "job")
GATEWAY = allow(Policy(caller="gateway"))
GATEWAY_FOR_PERSON = allow(Policy(caller="gateway", for_person=True))
MANAGER = allow(Policy(caller="manager"))
WORKER = allow(Policy(caller="worker"))
SUPERSEDED_WORKER = allow(Policy(caller="worker", superseded=True))
ADMINISTRATOR = allow(Policy(caller="administrator"))
ANYONE = allow(Policy(caller="anyone"))

OPEN_PATHS = frozenset({"/healthz", "/api/v1/healthz", "/readyz", "/metrics"})
"""The frame's own (`chassis.health`), which know of no policy."""


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    policy = cast("Policy | None", handler.opt.get("policy"))
    if policy is not None:
        await _ask(connection, policy)
    elif cast("dict[str, Any]", connection.scope).get("path_template") not in OPEN_PATHS:
        raise BerthError(Code.FORBIDDEN, "this route says nobody may call it")


async def _ask(connection: Connection, policy: Policy) -> None:
    access = cast("Access", connection.app.state.access)
    match policy.caller:
        case "anyone":
            return
        case "person":
            await _person(connection, access, policy)
        case "administrator":
            await _person(connection, access, policy)
            access.require_administrator(cast("Principal", connection.state.principal))
        case "gateway" | "manager":
            access.service(connection.headers.get("authorization"), policy.caller)
            if policy.for_person:
                await _person(connection, access, policy)
        case "worker":
            await _worker(connection, access, policy)
        case _:
            assert_never(policy.caller)


async def _person(connection: Connection, access: Access, policy: Policy) -> None:
    principal = await access.principal(connection.headers.get(IDENTITY_HEADER))
    connection.state.principal = principal
    if policy.noun is not None:
        noun_id = cast("UUID", connection.path_params[f"{policy.noun}_id"])
        connection.state.project_id = await access.project_of(
            principal, policy.action, policy.noun, noun_id
        )


async def _worker(connection: Connection, access: Access, policy: Policy) -> None:
    worker_id = cast("UUID", connection.path_params["worker_id"])
    worker = await access.worker_of(connection.headers.get("authorization"), worker_id)
    if worker.superseded and not policy.superseded:
        raise Stale(Code.STALE_EPOCH, "this worker was superseded", epoch=worker.epoch)
    connection.state.worker = worker


async def _provide_principal(request: Request[Any, Any, Any]) -> Principal:
    return cast("Principal", request.state.principal)


async def _provide_project(request: Request[Any, Any, Any]) -> UUID:
    return cast("UUID", request.state.project_id)


async def _provide_worker(request: Request[Any, Any, Any]) -> WorkerCaller:
    return cast("WorkerCaller", request.state.worker)


async def _provide_access(request: Request[Any, Any, Any]) -> Access:
    return cast("Access", request.app.state.access)


PROVIDED = {
    "principal": Provide(_provide_principal),
    "project_id_of_path": Provide(_provide_project),
    "worker": Provide(_provide_worker),
    "access": Provide(_provide_access),
}
"""The app's dependencies: what the guard found out."""
