"""What the manager asks of an executor, on `executor.sock`: the socket's directory is the guard."""

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from contracts.executors import (
    EXECUTOR_DELIVER,
    EXECUTOR_STATUS,
    EXECUTOR_SUPERSEDE,
    Deliver,
    Delivered,
    ExecutorStatus,
    Supersede,
)
from contracts.wire import Empty
from executor.services.frontage import Frontage


@get(EXECUTOR_STATUS.path)
async def status(frontage: NamedDependency[Frontage]) -> ExecutorStatus:
    return frontage.status()


@post(EXECUTOR_DELIVER.path, status_code=200)
async def deliver(data: JSONBody[Deliver], frontage: NamedDependency[Frontage]) -> Delivered:
    return await frontage.deliver(data)


@post(EXECUTOR_SUPERSEDE.path, status_code=200)
async def supersede(data: JSONBody[Supersede], frontage: NamedDependency[Frontage]) -> Empty:
    frontage.supersede(data.epoch)
    return Empty()


HANDLERS = [status, deliver, supersede]
