"""Two hosts on this machine, each an engine of its own with a manager and a relay on it."""

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.engine import Engine, threaded
from tests.e2e.grounds import Ground
from tests.e2e.stack import ROOT, SCALED, Stack, command
from tests.fixtures.deadlines import eventually

SCRIPT = ROOT / "deploy" / "twohosts.sh"
OF_MANAGER = ROOT / "deploy" / "compose.manager.yml"
OF_HOSTS = ROOT / "deploy" / "compose.hosts.yml"
IMAGES = ("berth:latest", "berth-executor:latest")
MACHINE = "10.77.0.1"
HOMES = Path("/var/tmp")
HOMES_PREFIX = "berth-hosts-"
MEMORY = "BERTH_DEFAULT_MEMORY_MIB"
"""As much as a session gets on the first host."""


class Host(Ground):
    """Its engine can be restarted, frozen, and killed with all that runs on it."""

    def __init__(self, name: str, home: Path, address: str, folder: Path) -> None:
        super().__init__(name, Engine(f"unix://{home}/docker.sock"), f"berth-{name}")
        self.home = home
        self.address = address
        self.folder = folder
        self.variables: dict[str, str] = {}
        self.environment = SCALED["executor-manager"]
        self.images: Sequence[str] = IMAGES

    # --- its manager -------------------------------------------------------------------------

    async def compose(self, *words: str, given: str = "") -> str:
        """The engine's socket comes by its directory: this engine binds it anew at each start,
        where systemd would keep it.
        """
        override = self.folder / f"{self.name}.json"
        manager = {
            "environment": {
                **self.environment,
                "BERTH_DOCKER_HOST": "unix:///engine/docker.sock",
            },
            "volumes": [f"{self.home}:/engine"],
        }
        override.write_text(json.dumps({"services": {"executor-manager": manager}}))
        line = [
            str(Path(sys.executable).parent / "docker-compose"),
            "-p", self.project, "-f", str(OF_MANAGER), "-f", str(override), *words,
        ]  # fmt: skip
        if given:
            line = ["sh", "-c", f'printf %s "$GIVEN" | {shlex.join(line)}']
        env = {**self.variables, "GIVEN": given}
        return await command(*line, env=env, engine=self.engine.host, within=240)

    async def serve(self, stack: Stack, *, port: int, drains: bool = False) -> None:
        """Manager and relay, started as the operator's guide says."""
        self.variables = {
            "BERTH_CONTROL_PLANE_URL": f"http://{MACHINE}:{port}",
            "BERTH_OBJECT_STORE_URL": f"http://{MACHINE}:9000",
            "BERTH_ADVERTISE_URL": f"http://{self.address}:8020",
            "BERTH_MANAGER_NAME": self.name,
            "BERTH_DOCKER_SOCKET": f"{self.home}/docker.sock",
            "BERTH_IMAGE": self.images[0],
            "BERTH_EXECUTOR_IMAGE": self.images[1],
            "BERTH_DRAIN_ON_STOP": "true" if drains else "false",
        }
        memory = stack.environments["executor-manager"][MEMORY]
        self.environment = {**SCALED["executor-manager"], MEMORY: memory}
        key = await stack.secret("control-plane", "service-manager")
        await self.compose("run", "--rm", "-T", "init", "set", "service-manager", given=key)
        await self.compose("up", "-d", "--wait")

    async def load(self, source: Engine, images: Sequence[str] = IMAGES) -> None:
        """The services' and the executor's, as brought to a host without a registry."""

        def copy(image: str) -> None:
            found: Any = source.client.images.get(image)
            self.engine.client.images.load(found.save(named=True))

        for image in images:
            await threaded(copy, image)
        self.images = images

    # --- its engine --------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return int((self.home / "docker.pid").read_text())

    async def answers(self) -> None:
        async def pinged() -> bool:
            try:
                return await threaded(self.engine.client.ping)
            except Exception:  # noqa: BLE001 - whatever the SDK says of an engine that is away
                return False

        await eventually(pinged, f"the engine of {self.name} does not answer", within=60)

    async def restart(self, *, live_restore: bool) -> None:
        """Ended in order and started again, with the command that it was started with."""
        pid = self.pid
        (self.home / "daemon.json").write_text(json.dumps({"live-restore": live_restore}))
        os.kill(pid, signal.SIGHUP)
        await self._has_live_restore(wanted=live_restore)
        words = _command(pid).rstrip("\0").split("\0")
        os.kill(pid, signal.SIGTERM)

        async def gone() -> bool:
            return not _command(pid)

        await eventually(gone, "the engine does not end", within=60)
        (self.home / "docker.pid").unlink(missing_ok=True)
        with (self.home / "log").open("ab") as log:
            await asyncio.create_subprocess_exec(
                "nsenter", f"--net=/run/netns/{self.name}", *words,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        await self.answers()

    async def _has_live_restore(self, *, wanted: bool) -> None:
        async def has() -> bool:
            return (await threaded(self.engine.client.info))["LiveRestoreEnabled"] is wanted

        await eventually(has, "the engine does not take its configuration")

    @contextlib.contextmanager
    def stopped(self) -> Generator[None]:
        """Frozen: it takes connections and answers nothing."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


class Hosts:
    """Up before the stack, whose addresses they need; down after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Path(tempfile.mkdtemp(prefix=HOMES_PREFIX, dir=HOMES))
        self.found: dict[str, Host] = {}

    async def up(self, stack: Stack) -> None:
        told = await _script(self.home, "up")
        for line in told.splitlines():
            name, socket, address = line.split()
            self.found[name] = Host(name, Path(socket).parent, address, self.folder)
        stack.files.append(OF_HOSTS)
        stack.variables |= {
            "BERTH_PRIVATE_ADDRESS": MACHINE,
            "BERTH_OBJECT_STORE_URL": f"http://{MACHINE}:9000",
            "BERTH_CONTROL_PLANE_PORTS": "8010-8012",
        }

    async def load(self, source: Engine) -> None:
        for host in self.found.values():
            await host.load(source)

    @property
    def places(self) -> list[Path]:
        """That must not be there afterwards."""
        return [self.home, *(Path("/run/netns", name) for name in self.found)]

    async def keep_logs(self, folder: Path) -> None:
        for host in self.found.values():
            with contextlib.suppress(Exception):  # its engine may have been killed
                for container in await host.engine.containers():
                    log = await host.engine.logs(container)
                    (folder / f"{host.name}-{container.name}.log").write_bytes(log)
            with contextlib.suppress(OSError):
                (folder / f"{host.name}-engine.log").write_bytes((host.home / "log").read_bytes())

    async def kill(self, name: str) -> None:
        """As a host that lost its power."""
        await _script(self.home, "kill", name)

    async def down(self) -> None:
        for host in self.found.values():
            host.engine.close()
        await take_down(self.home)
        await asyncio.to_thread(shutil.rmtree, self.home, ignore_errors=True)


async def take_down(home: Path) -> None:
    """Their engines, all that runs on them, and their network."""
    await _script(home, "down")


async def _script(home: Path, *words: str) -> str:
    return await command(str(SCRIPT), *words, env={"TWOHOSTS_DIR": str(home)}, within=150)
