"""The routes every service has: alive, ready, metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from chassis.errors import BerthError
from chassis.logs import get_logger
from chassis.metrics import CONTENT_TYPE, Metrics
from contracts.errors import Code
from contracts.wire import Wire

Check = Callable[[], Awaitable[object]]
"""Returns when the dependency is there; raises, best `DependencyUnavailable`, when it is not."""

CHECK_SECONDS = 2.0

_log = get_logger()


class Health(Wire, frozen=True, kw_only=True):
    status: str = "ok"
    service: str
    version: str


class Readiness(Wire, frozen=True, kw_only=True):
    status: str = "ready"
    checks: list[str]
    """The names of the dependencies that answered."""


def health_routes(
    *, service: str, version: str, checks: Mapping[str, Check], metrics: Metrics
) -> list[HTTPRouteHandler]:
    @get(["/healthz", "/api/v1/healthz"], sync_to_thread=False, tags=["health"])
    def healthz() -> Health:
        return Health(service=service, version=version)

    @get("/readyz", tags=["health"])
    async def readyz() -> Readiness:
        found = await asyncio.gather(*(_missing(name, check) for name, check in checks.items()))
        missing = [one for one in found if one]
        if missing:
            names = ", ".join(one["what"] for one in missing)
            raise BerthError(
                Code.DEPENDENCY_UNAVAILABLE, f"not ready: {names}", retry_after=1, missing=missing
            )
        return Readiness(checks=list(checks))

    @get("/metrics", include_in_schema=False, sync_to_thread=False)
    def render_metrics() -> Response[bytes]:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return [healthz, readyz, render_metrics]


async def _missing(name: str, check: Check) -> dict[str, str] | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return {"what": name, "how": f"it did not answer within {CHECK_SECONDS:g} s"}
    except Exception as error:  # noqa: BLE001  # whatever a driver raises means "not there"
        _log.warning("check_failed", check=name, exc_info=error)
        told = error.details.get("missing") if isinstance(error, BerthError) else None
        return {
            "what": name,
            "how": told[0]["how"] if told else f"see the log: {type(error).__name__}",
        }
    return None
