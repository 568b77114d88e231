"""`python -m executor_manager.volumes`, as root, with MKNOD and the loop devices."""

import asyncio
import contextlib
import signal
import sys

from chassis.logs import configure_logging, get_logger
from chassis.settings import SettingsError, load
from executor_manager.volumes.images import Images
from executor_manager.volumes.server import Server, listening
from executor_manager.volumes.settings import Settings

_log = get_logger()


def main() -> int:
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging("volumes", settings.log_level)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    images = Images(
        workers=settings.state_dir / "workers", patterns=settings.volumes_dir / "patterns"
    )
    images.open()
    server = Server(images, hold_seconds=settings.volumes_hold_seconds)
    running = asyncio.create_task(server.run(listening(settings.volumes_dir)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    _log.info("volumes_started", workers=str(settings.state_dir / "workers"))
    await running


if __name__ == "__main__":
    sys.exit(main())
