"""What the manager asks of an executor, on `executor.sock`: the socket's directory is the guard."""

from contracts.executors import EXECUTOR_DELIVER, EXECUTOR_STATUS, EXECUTOR_SUPERSEDE
from executor.http_routes import Route, typed
from executor.services.frontage import Frontage


def control_routes(frontage: Frontage) -> list[Route]:
    return [
        typed(EXECUTOR_STATUS, frontage.status),
        typed(EXECUTOR_DELIVER, frontage.deliver),
        typed(EXECUTOR_SUPERSEDE, frontage.supersede),
    ]
