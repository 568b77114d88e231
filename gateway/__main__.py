"""`python -m gateway`: the front door, until SIGTERM."""

import sys

from chassis.logs import configure_logging, get_logger
from chassis.redact import Redactor
from chassis.server import PortTaken, serve
from chassis.settings import SettingsError, load, secrets_of
from chassis.telemetry import configure_tracing, stop_tracing
from gateway.app import build_app
from gateway.settings import Settings


def main() -> None:
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.exit(f"gateway: {error}")
    configure_logging("gateway", settings.log_level, Redactor(secrets_of(settings)))
    configure_tracing("gateway", settings.trace_exporter)
    app = build_app(settings)
    get_logger().info("starting", host=settings.host, port=settings.port)
    try:
        serve(
            app,
            host=settings.host,
            port=settings.port,
            graceful_seconds=settings.graceful_seconds,
            on_stop=app.stop,
            websockets=True,
        )
    except PortTaken as error:
        sys.exit(f"gateway: {error}")
    finally:
        stop_tracing()


if __name__ == "__main__":
    main()
