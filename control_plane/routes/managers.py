"""What managers call: register, heartbeat, claim, commands, and what became of a worker."""

from uuid import UUID

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.managers import (
    ASK_STOP,
    CLAIM,
    COMMANDS,
    HEARTBEAT,
    REGISTER,
    WORKER_CHANGE,
    AskStop,
    Claim,
    Claimed,
    Commands,
    Heartbeat,
    HeartbeatAnswer,
    PollCommands,
    Register,
    Registered,
    StopAnswer,
    WorkerChange,
    WorkerChanged,
)
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import MANAGER
from control_plane.services.claims import Claims
from control_plane.services.managers import Managers
from control_plane.services.workers import Workers


@post(litestar_path(REGISTER), opt=MANAGER, status_code=200)
async def register(data: JSONBody[Register], managers: NamedDependency[Managers]) -> Registered:
    return await managers.register(data)


@post(litestar_path(HEARTBEAT), opt=MANAGER, status_code=200)
async def heartbeat(
    manager_id: FromPath[UUID], data: JSONBody[Heartbeat], managers: NamedDependency[Managers]
) -> HeartbeatAnswer:
    return await managers.heartbeat(manager_id, data)


@post(litestar_path(CLAIM), opt=MANAGER, status_code=200)
async def claim(
    manager_id: FromPath[UUID], data: JSONBody[Claim], claims: NamedDependency[Claims]
) -> Claimed:
    return await claims.claim(manager_id, data)


@post(litestar_path(COMMANDS), opt=MANAGER, status_code=200)
async def commands(
    manager_id: FromPath[UUID], data: JSONBody[PollCommands], managers: NamedDependency[Managers]
) -> Commands:
    return await managers.commands(manager_id, data)


@post(litestar_path(WORKER_CHANGE), opt=MANAGER, status_code=200)
async def worker_change(
    manager_id: FromPath[UUID],
    worker_id: FromPath[UUID],
    data: JSONBody[WorkerChange],
    workers: NamedDependency[Workers],
) -> WorkerChanged:
    return await workers.change(manager_id, worker_id, data)


@post(litestar_path(ASK_STOP), opt=MANAGER, status_code=200)
async def ask_stop(
    manager_id: FromPath[UUID],
    worker_id: FromPath[UUID],
    data: JSONBody[AskStop],
    workers: NamedDependency[Workers],
) -> StopAnswer:
    return await workers.ask_stop(manager_id, worker_id, data)


MANAGER_ROUTES = [register, heartbeat, claim, commands, worker_change, ask_stop]
