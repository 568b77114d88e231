"""`python -m executor_manager`: the containers of this host, until SIGTERM."""

import asyncio
import sys

from chassis.failpoints import arm_from
from chassis.logs import configure_logging, get_logger
from chassis.redact import Redactor
from chassis.server import PortTaken, serve
from chassis.settings import SettingsError, load, secrets_of
from chassis.telemetry import configure_tracing, stop_tracing
from executor_manager.app import Manager, build_app
from executor_manager.containers.errors import BackendError
from executor_manager.services.state_directory import StateInUse, locked, manager_id
from executor_manager.settings import Settings


def main() -> None:
    try:
        settings = load(Settings)
        arm_from(settings.failpoints)
    except (SettingsError, ValueError) as error:
        sys.exit(f"executor-manager: {error}")
    configure_logging("executor-manager", settings.log_level, Redactor(secrets_of(settings)))
    configure_tracing("executor-manager", settings.trace_exporter)
    try:
        with locked(settings.state_dir, shared=settings.executor_uid is not None):
            _serve(settings)
    except (StateInUse, PortTaken, BackendError, SettingsError) as error:
        sys.exit(f"executor-manager: {error}")
    except OSError as error:
        sys.exit(f"executor-manager: {settings.state_dir}: {error.strerror}")
    finally:
        stop_tracing()


def _serve(settings: Settings) -> None:
    identity = manager_id(settings.state_dir)
    get_logger().info("starting", manager=identity, host=settings.host, port=settings.port)
    manager = Manager(settings, identity)
    asyncio.run(manager.host.backend.open())  # what it lacks is told before anything listens
    serve(
        build_app(manager),
        host=settings.host,
        port=settings.port,
        graceful_seconds=settings.graceful_seconds,
        websockets=True,
    )


if __name__ == "__main__":
    main()
