"""`python -m executor_manager.relay`."""

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import sys
from collections.abc import Generator
from ipaddress import ip_network
from pathlib import Path

from aiohttp import web

from chassis.failpoints import arm_from
from chassis.ids import new_id
from chassis.logs import configure_logging, get_logger
from chassis.settings import SettingsError, load
from executor_manager.relay.admin import build_admin
from executor_manager.relay.named import named_upstreams
from executor_manager.relay.settings import Settings
from executor_manager.relay.sockets import bind_for_owner
from executor_manager.relay.tunnel.resolving import Resolver
from executor_manager.relay.tunnel.tunnels import TunnelFrame
from executor_manager.relay.upstreams import Upstreams
from executor_manager.relay.workers import Workers

ADMIN_SOCKET = "a/admin.sock"
"""In a directory of its own, as every socket that `bind_for_owner` makes."""
ALREADY_RUNNING = 75
OPEN_FILES = 65_536

_log = get_logger()


def main() -> int:
    try:
        settings = load(Settings)
        arm_from(settings.failpoints)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging("relay", settings.log_level)
    _open_many()
    with _only_one(settings.relay_dir) as alone:
        if not alone:
            return ALREADY_RUNNING
        asyncio.run(_run(settings))
    return 0


def _open_many() -> None:
    """What is usual as a soft limit, 1024, four sessions use up at their caps, for all others too;
    up to the hard one anybody may raise it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if resource.RLIM_INFINITY != soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def _only_one(directory: Path) -> Generator[bool]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "relay.pid").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield True


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    socket_path = settings.relay_dir / ADMIN_SOCKET
    socket_path.parent.mkdir(mode=0o700, exist_ok=True)
    boot = str(new_id())
    resolver = Resolver()
    frame = TunnelFrame(
        resolver, settings, [ip_network(text) for text in settings.relay_tunnel_networks]
    )
    async with Upstreams(settings) as upstreams, named_upstreams(settings) as named:
        workers = Workers(
            boot=boot, settings=settings, upstreams=upstreams, named=named, tunnels=frame
        )
        admin = build_admin(boot=boot, upstreams=upstreams, workers=workers)
        runner = web.AppRunner(admin, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        await web.SockSite(runner, bind_for_owner(socket_path)).start()
        _log.info("relay_started", pid=os.getpid())
        await stop.wait()
        await workers.close()
        await runner.cleanup()
    resolver.close()


if __name__ == "__main__":
    sys.exit(main())
