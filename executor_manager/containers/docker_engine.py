"""The Docker Engine's API as we use it. All of it blocks: the backend calls it in threads.

Every call ends by itself, by the SDK's own timeout: an engine that hangs must not keep a thread.
All raise `BackendError`.
"""

import contextlib
import datetime
import math
import time
from typing import Any

import msgspec
from docker import APIClient

from executor_manager.containers.docker_errors import RemovalUnderWay, told
from executor_manager.containers.errors import (
    BackendError,
    ImageMissing,
    Missing,
    NameTaken,
    Timeout,
    Unreachable,
)

OLDEST_API = (1, 41)
"""Docker 20.10: one-shot statistics."""
START_SECONDS = 30.0
POLL_SECONDS = 0.05

JSON = dict[str, Any]


class State(msgspec.Struct, frozen=True, rename="pascal"):
    status: str
    exit_code: int
    pid: int
    finished_at: str
    oom_killed: bool = msgspec.field(name="OOMKilled")

    @property
    def finished(self) -> float | None:
        """Seconds since the epoch; None: it has not."""
        at = datetime.datetime.fromisoformat(self.finished_at)
        return at.timestamp() if at.year > 1 else None


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    labels: dict[str, str] | None = None
    env: list[str] | None = None
    volumes: dict[str, Any] | None = None


class Mount(msgspec.Struct, frozen=True, rename="pascal"):
    source: str
    destination: str


class Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    name: str
    state: State
    config: Config
    image: str = ""
    """Its id."""
    mounts: list[Mount] = []


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    names: list[str] | None
    state: str
    image_id: str = msgspec.field(name="ImageID", default="")
    labels: dict[str, str] | None = None

    @property
    def name(self) -> str:
        return self.names[0].removeprefix("/") if self.names else self.id


class Image(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    config: Config | None = None
    repo_digests: list[str] | None = None


class Memory(msgspec.Struct, frozen=True):
    usage: int = 0
    stats: dict[str, int] = {}


class CpuUsage(msgspec.Struct, frozen=True):
    total_usage: int = 0
    """Nanoseconds."""


class Cpu(msgspec.Struct, frozen=True):
    cpu_usage: CpuUsage = CpuUsage()


class Pids(msgspec.Struct, frozen=True):
    current: int = 0


class Measured(msgspec.Struct, frozen=True):
    memory_stats: Memory = Memory()
    cpu_stats: Cpu = Cpu()
    pids_stats: Pids = Pids()


class Info(msgspec.Struct, frozen=True, rename="pascal"):
    server_version: str = ""
    kernel_version: str = ""
    cgroup_version: str = ""
    driver: str = ""
    driver_status: list[tuple[str, str]] | None = None
    docker_root_dir: str = ""
    runtimes: dict[str, Any] | None = None
    default_runtime: str = ""
    live_restore_enabled: bool = False
    security_options: list[str] | None = None
    memory_limit: bool = False
    swap_limit: bool = False
    cpu_cfs_quota: bool = msgspec.field(name="CpuCfsQuota", default=False)
    pids_limit: bool = False


class Component(msgspec.Struct, frozen=True, rename="pascal"):
    name: str
    version: str


class Versions(msgspec.Struct, frozen=True, rename="pascal"):
    components: list[Component] = []

    def of(self, name: str) -> str:
        """Empty: the engine does not tell."""
        return next((one.version for one in self.components if one.name == name), "")


class Engine:
    def __init__(self, host: str, call_seconds: float) -> None:
        self._host = host
        self._call_seconds = call_seconds
        self._clients: dict[float, APIClient] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def check(self) -> Info:
        """Raises `BackendError` for one that is too old."""
        with told("asking the engine"):
            client = self._client()
            version = tuple(int(part) for part in client.api_version.split("."))
            if version < OLDEST_API:
                raise BackendError("the engine is too old: Docker 20.10 or newer is needed")
            return msgspec.convert(client.info(), Info)

    def versions(self) -> Versions:
        with told("asking the engine for its versions"):
            return msgspec.convert(self._client().version(), Versions)

    def image(self, name: str) -> Image:
        """Raises `ImageMissing`."""
        try:
            with told(f"looking for the image {name}"):
                return msgspec.convert(self._client().inspect_image(name), Image)
        except ImageMissing as error:
            how = "`make images` builds it, and BERTH_EXECUTOR_IMAGE names another"
            raise ImageMissing(f"the engine has no image {name}: {how}") from error

    def create(self, name: str, configuration: JSON) -> str:
        """Its id. Raises `NameTaken`, `ImageMissing`, `NoSpace`."""
        try:
            with told(f"creating {name}"):
                return str(self._client().create_container_from_config(configuration, name)["Id"])
        except NameTaken as error:
            if self.inspect(name) is None:
                # a create that was given up is still under way there: shown when that is over
                raise Timeout(f"creating {name}: it is taken, and nothing is shown yet") from error
            raise

    def start(self, container: str) -> None:
        """Of one that runs: nothing. Raises `StartFailed`, `NoSpace`, `Missing`."""
        with told(f"starting {container}", starting=True):
            self._client(START_SECONDS).start(container)

    def stop(self, container: str, grace: float) -> None:
        with told(f"stopping {container}"):
            self._client().stop(container, timeout=math.ceil(grace))

    def pause(self, container: str) -> None:
        with told(f"pausing {container}"):
            self._client().pause(container)

    def unpause(self, container: str) -> None:
        with told(f"unpausing {container}"):
            self._client().unpause(container)

    def remove(self, container: str) -> None:
        """Returns when it is gone, whoever removes it. Raises `Running`, `Timeout`."""
        try:
            with contextlib.suppress(Missing), told(f"removing {container}"):
                self._client().remove_container(container, v=True)
        except RemovalUnderWay:
            self._wait_removed(container)

    def inspect(self, container: str) -> Inspected | None:
        try:
            with told(f"inspecting {container}"):
                return msgspec.convert(self._client().inspect_container(container), Inspected)
        except Missing:
            return None

    def listed(self, labels: dict[str, str]) -> list[Listed]:
        with told("listing containers"):
            wanted = [f"{name}={value}" for name, value in labels.items()]
            found = self._client().containers(all=True, filters={"label": wanted})
            return msgspec.convert(found, list[Listed])

    def measured(self, container: str) -> Measured:
        with told(f"measuring {container}"):
            found = self._client().stats(container, stream=False, one_shot=True)
            return msgspec.convert(found, Measured)

    def logs(self, container: str, size: int, *, out: bool = True, errors: bool = True) -> bytes:
        """A line has a byte at least: the last `size` lines hold the last `size` bytes."""
        with told(f"reading the log of {container}"):
            found = self._client().logs(container, stdout=out, stderr=errors, tail=size)
            return found[-size:]

    def holds_quota(self, name: str) -> bool:
        """Whether its own volumes can have a size: tried with one of that name."""
        try:
            with told("trying a volume with a size"):
                self._client().create_volume(name, driver="local", driver_opts={"size": "16m"})
        except (Unreachable, Timeout):
            raise
        except BackendError:
            return False
        self.remove_volume(name)
        return True

    def remove_volume(self, name: str) -> None:
        """Of one that is gone: nothing."""
        with contextlib.suppress(Missing), told(f"removing the volume {name}"):
            self._client().remove_volume(name)

    def wait(self, container: str, seconds: float) -> int:
        """Its exit code. Raises `Timeout`."""
        with told(f"waiting for {container}"):
            return int(self._client().wait(container, timeout=math.ceil(seconds))["StatusCode"])

    def _wait_removed(self, container: str) -> None:
        ends = time.monotonic() + self._call_seconds
        while self.inspect(container) is not None:
            if time.monotonic() > ends:
                raise Timeout(f"the engine does not finish removing {container}")
            time.sleep(POLL_SECONDS)

    def _client(self, longer: float = 0.0) -> Any:  # noqa: ANN401  # its answers have no types
        """Asks for the engine's version when it is made, for which two at once do no harm."""
        if (client := self._clients.get(longer)) is None:
            seconds = math.ceil(self._call_seconds + longer)
            client = APIClient(self._host, timeout=seconds, max_pool_size=64)
            client.trust_env = False  # a proxy from the environment has no part in this
            self._clients[longer] = client
        return client
