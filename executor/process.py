"""The executor's process: settings, logs and traces, then the app until a signal ends it."""

import asyncio
import signal
import sys

from chassis.failpoints import arm_from
from chassis.listening import bind
from chassis.logs import bound, configure_logging, get_logger
from chassis.settings import SettingsError, load
from chassis.telemetry import configure_tracing, stop_tracing
from executor.app import App
from executor.settings import Settings
from executor.threads import own_threads

_log = get_logger()


def main() -> int:
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging("executor", settings.log_level)
    _configure_tracing(settings.trace_exporter)
    arm_from(settings.failpoints)
    with bound(
        session=str(settings.session_id), worker=str(settings.worker_id), epoch=settings.epoch
    ):
        try:
            asyncio.run(_run(settings))
        finally:
            stop_tracing()
    return 0


async def _run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(own_threads())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    path = str(settings.control_dir / "executor.sock")
    async with App(settings).running(bind(uds=path)):
        _log.info("serving", address=path)
        await stop.wait()


def _configure_tracing(exporter: str) -> None:
    try:
        configure_tracing("executor", exporter)
    except ImportError as error:
        # an image for sessions without a network has no use for it; its executor runs all the same
        _log.warning("spans_not_exported", exporter=exporter, reason=str(error))
