"""What the container backend of this host really isolates: for operators and `berth doctor`."""

from litestar import get
from litestar.handlers import HTTPRouteHandler

from contracts.containers import ContainerOffer
from contracts.preflight import PreflightFinding
from contracts.wire import Wire
from executor_manager.containers.backend import Capabilities, ContainerBackend


class BackendStatement(Wire, frozen=True, kw_only=True):
    kind: str
    capabilities: Capabilities
    containers: ContainerOffer
    preflight: list[PreflightFinding]


def backend_route(backend: ContainerBackend) -> HTTPRouteHandler:
    # closed over: Litestar would check a dependency's type, and a Protocol's cannot be checked
    @get("/api/v1/backend", sync_to_thread=False)
    def backend_statement() -> BackendStatement:
        return BackendStatement(
            kind=backend.kind,
            capabilities=backend.capabilities,
            containers=backend.offer,
            preflight=[*backend.preflight],
        )

    return backend_statement
