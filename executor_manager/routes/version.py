"""Which version runs here."""

from litestar import get

from chassis.app import VERSION
from contracts.wire import Wire


class Version(Wire, frozen=True, kw_only=True):
    service: str
    version: str


@get("/api/v1/version", sync_to_thread=False)
def version() -> Version:
    return Version(service="executor_manager", version=VERSION)
