"""`python -m control_plane`: until SIGTERM.

Refuses to start without its database, or before a store that is not fit, and says why.
"""

import asyncio
import sys

from chassis.errors import DependencyUnavailable
from chassis.logs import configure_logging, get_logger
from chassis.redact import Redactor
from chassis.server import PortTaken, serve
from chassis.settings import SettingsError, load, secrets_of
from chassis.telemetry import configure_tracing, stop_tracing
from control_plane.app import build_app
from control_plane.preflight import preflight
from control_plane.settings import Settings


def main() -> None:
    try:
        settings = load(Settings)
        configure_logging("control_plane", settings.log_level, Redactor(secrets_of(settings)))
        store_proven = asyncio.run(preflight(settings))
    except (SettingsError, DependencyUnavailable) as error:
        sys.exit(f"control_plane: {_complaint(error)}")
    configure_tracing("control_plane", settings.trace_exporter)
    app = build_app(settings, store_proven=store_proven)
    get_logger().info("starting", host=settings.host, port=settings.port)
    try:
        serve(
            app,
            host=settings.host,
            port=settings.port,
            graceful_seconds=settings.graceful_seconds,
            on_stop=app.stop,
        )
    except PortTaken as error:
        sys.exit(f"control_plane: {error}")
    finally:
        stop_tracing()


def _complaint(error: SettingsError | DependencyUnavailable) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    return "; ".join(f"{one['what']}: {one['how']}" for one in error.details["missing"])


if __name__ == "__main__":
    main()
