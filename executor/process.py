"""The executor's process: settings, logs and traces, then the app until a signal ends it."""

import asyncio
import signal
import socket
import sys

from chassis.failpoints import arm_from
from chassis.listening import bind
from chassis.logs import bound, configure_logging, get_logger
from chassis.settings import SettingsError, load
from chassis.telemetry import configure_tracing, stop_tracing
from executor import warm
from executor.allocation import keep_for_packs
from executor.app import App
from executor.call_filter import refuse_calls
from executor.settings import Settings
from executor.threads import own_threads

_log = get_logger()


def main() -> int:
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    refuse_calls()  # before there is another thread
    keep_for_packs()
    configure_logging("executor", settings.log_level)
    _configure_tracing(settings.trace_exporter)
    arm_from(settings.failpoints)
    try:
        asyncio.run(_run(settings))
    except warm.NotAssigned as error:
        _log.error("not_assigned", reason=str(error))  # without what it says nobody is served
        return 2
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
    await warm.prepare(settings)
    path = str(settings.control_dir / "executor.sock")
    listener = bind(uds=path)
    ours = await warm.until_assigned(settings, stop)
    if ours is not None:
        await _serve(ours, listener, stop)


async def _serve(settings: Settings, listener: socket.socket, stop: asyncio.Event) -> None:
    with bound(
        session=str(settings.session_id), worker=str(settings.worker_id), epoch=settings.epoch
    ):
        async with App(settings).running(listener):
            _log.info("serving", address=listener.getsockname())
            await stop.wait()


def _configure_tracing(exporter: str) -> None:
    try:
        configure_tracing("executor", exporter)
    except ImportError as error:
        # an image for sessions without a network has no use for it; its executor runs all the same
        _log.warning("spans_not_exported", exporter=exporter, reason=str(error))
