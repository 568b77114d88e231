"""What the manager asks of an executor, on `executor.sock`: the socket's directory is the guard."""

from contracts.executors import (
    EXECUTOR_DELIVER,
    EXECUTOR_LINK_AGENT_DATA,
    EXECUTOR_RESTORE,
    EXECUTOR_STATUS,
    EXECUTOR_SUPERSEDE,
    EXECUTOR_SYNC,
    EXECUTOR_VALIDATE,
)
from executor.http_routes import Route, typed
from executor.services.frontage import Frontage


def control_routes(frontage: Frontage) -> list[Route]:
    return [
        typed(EXECUTOR_STATUS, frontage.status),
        typed(EXECUTOR_DELIVER, frontage.deliver),
        typed(EXECUTOR_SUPERSEDE, frontage.supersede),
        typed(EXECUTOR_RESTORE, frontage.restore),
        typed(EXECUTOR_LINK_AGENT_DATA, frontage.link_agent_data),
        typed(EXECUTOR_VALIDATE, frontage.validate),
        typed(EXECUTOR_SYNC, frontage.sync),
    ]
