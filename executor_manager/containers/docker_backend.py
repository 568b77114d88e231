"""The `docker` backend: a session is a container of a Docker Engine.

The engine's API is asked in threads, whose calls end by themselves; see `docker_engine`. Names are
never trusted alone: what has ours without our labels is somebody else's and stays untouched.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from contracts.containers import ContainerChoice, ContainerOffer
from contracts.disks import DiskMeans
from contracts.preflight import PreflightFinding
from executor_manager.containers.backend import (
    Capabilities,
    Container,
    ContainerSpec,
    Identity,
    Limits,
    Listing,
    Stats,
)
from executor_manager.containers.broker import Broker
from executor_manager.containers.docker_changes import Changes
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_disks import DiskOptions, DockerDisks
from executor_manager.containers.docker_engine import START_SECONDS, Engine, Info
from executor_manager.containers.docker_facts import look, look_inside
from executor_manager.containers.docker_places import DockerPlaces
from executor_manager.containers.docker_probe import DockerProbe
from executor_manager.containers.docker_promises import capabilities
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.docker_view import View
from executor_manager.containers.errors import BackendError
from executor_manager.containers.places import SOCKET
from executor_manager.containers.preflight import MAPPED, examine, maps_users
from executor_manager.containers.runtimes import MOST_SECONDS, RuntimeTrial, Trial, candidates
from executor_manager.containers.threads import Threads
from executor_manager.containers.trash import Trash

READING_THREADS = 8
CHANGING_THREADS = 16
MARGIN_SECONDS = 1.0
"""The engine's own timeouts come first, so that a thread ends before its caller gives up."""

T = TypeVar("T")


class DockerBackend:
    kind = "docker"
    keeps_warm = True

    def __init__(
        self, site: DockerSite, options: DockerOptions, disks: DiskOptions | None = None
    ) -> None:
        self._site = site
        self._disks = DockerDisks(disks or DiskOptions())
        self._options = options
        self._call = site.call_seconds + MARGIN_SECONDS
        self._engine = Engine(site.host, site.call_seconds)
        self._places = DockerPlaces(site.volumes)
        self._view = View(options.manager_id, self._engine, self._places)
        self._on_host = cache(partial(site.on_host, self._engine))
        self._info = Info()
        self._broker = Broker(self._engine, options)
        self._changes = Changes(
            engine=self._engine,
            places=self._places,
            view=self._view,
            broker=self._broker,
            disks=self._disks,
            options=options,
            on_host=self._on_host,
        )
        self.preflight: Sequence[PreflightFinding] = ()
        # a stop holds its thread for as long as its grace: it must not keep others from looking
        self._reading = Threads("docker-reading", READING_THREADS)
        self._changing = Threads("docker-changing", CHANGING_THREADS)
        self._trash = Trash("docker-trash")
        self.probe = DockerProbe(self._engine, self._changing, options)

    @property
    def capabilities(self) -> Capabilities:
        """Before `open`, as of an engine that limits nothing."""
        disks = self._disks
        return capabilities(self._info, self._broker.offer, disks.means, disks.problem)

    @property
    def offer(self) -> ContainerOffer:
        return self._broker.offer

    def disk_means(self, limits: Limits) -> DiskMeans | None:
        return self._disks.means_for(limits)

    async def open(self) -> None:
        await self._reading.call(self._open, 4 * self._call)
        printed = await look_inside(self.probe)
        tried = await self._try_runtimes()
        await self._reading.call(lambda: self._judge(printed, tried), 2 * self._call)
        self._trash.empty(self._places.bins)

    async def close(self) -> None:
        for threads in (self._reading, self._changing, self._trash):
            threads.close()
        self._engine.close()

    async def adopt_or_create(self, spec: ContainerSpec) -> Container:
        return await self._change(lambda changes: changes.create(spec))

    async def bind(self, name: str, identity: Identity, egress: Sequence[str] = ()) -> Container:
        return await self._change(lambda changes: changes.bind(name, identity, egress))

    async def image(self) -> str:
        choice = ContainerChoice()
        return await self._reading.call(lambda: self._broker.admit(choice).image, self._call)

    async def start(self, name: str) -> Container:
        return await self._change(lambda changes: changes.start(name), START_SECONDS)

    async def stop(self, name: str, grace: float) -> Container:
        return await self._change(lambda changes: changes.stop(name, grace), grace)

    async def pause(self, name: str) -> Container:
        return await self._change(lambda changes: changes.pause(name))

    async def resume(self, name: str) -> Container:
        return await self._change(lambda changes: changes.resume(name))

    async def remove(self, name: str) -> None:
        bins = await self._change(lambda changes: changes.remove(name), self._call)
        await asyncio.gather(*(self._trash.delete(bin_) for bin_ in bins))

    async def get(self, name: str) -> Container | None:
        found = await self._reading.call(lambda: self._view.find(name), self._call)
        return found.container if found else None

    async def list(self) -> Listing:
        return await self._reading.call(self._view.list, self._call)

    async def stats(self, name: str) -> Stats:
        return await self._reading.call(lambda: self._view.stats(name), 2 * self._call)

    async def logs(self, name: str, size: int = 64 * 1024) -> bytes:
        return await self._reading.call(lambda: self._view.logs(name, size), 2 * self._call)

    def address(self, container: Container) -> Path:
        return container.directories.control / SOCKET

    async def _change(self, change: Callable[[Changes], T], more: float = 0.0) -> T:
        """`more`: seconds that it takes beside three calls of the engine's."""
        return await self._changing.call(lambda: change(self._changes), more + 3 * self._call)

    def _open(self) -> None:
        self._places.open()
        info = self._engine.check()
        if maps_users(info):
            raise BackendError(
                f"this engine maps uids (userns-remap, or rootless): {MAPPED}; use an"
                " engine that does not"
            )
        self._broker.admit(ContainerChoice())
        self._on_host()
        self._disks.look(self._engine, f"berth-quota-{self._options.manager_id}")
        self._info = info

    def _judge(self, printed: str, tried: dict[str, Trial]) -> None:
        facts = look(self._engine, self._info, self._site.volumes.state, printed, tried)
        self.preflight = examine(facts, self._options.waived)
        self._broker.judge(self._info, self.preflight, tried)

    async def _try_runtimes(self) -> dict[str, Trial]:
        places = (self._site.volumes.sockets, self._on_host().sockets)
        trial = RuntimeTrial(self._engine, self.probe, *places)
        names = candidates(self._info, self._options.runtimes)
        return await self._changing.call(lambda: trial.run(names), MOST_SECONDS * len(names) + 1)
