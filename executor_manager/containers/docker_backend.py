"""The `docker` backend: a session is a container of a Docker Engine.

The engine's API is asked in threads, whose calls end by themselves; see `docker_engine`. Names are
never trusted alone: what has ours without our labels is somebody else's and stays untouched.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chassis.failpoints import failpoint_sync
from chassis.logs import get_logger
from contracts.containers import ContainerChoice, ContainerOffer
from contracts.disks import DiskMeans
from contracts.preflight import PreflightFinding
from executor_manager.containers.backend import (
    Capabilities,
    Container,
    ContainerSpec,
    ContainerState,
    Identity,
    Limits,
    Listing,
    Stats,
)
from executor_manager.containers.broker import Broker
from executor_manager.containers.docker_configuration import DockerOptions, session_container
from executor_manager.containers.docker_disks import DiskOptions, DockerDisks, quota_volume
from executor_manager.containers.docker_engine import START_SECONDS, Engine, Info
from executor_manager.containers.docker_facts import LOOK_INSIDE, look
from executor_manager.containers.docker_host_paths import host_path
from executor_manager.containers.docker_places import DockerPlaces, Volumes
from executor_manager.containers.docker_probe import DockerProbe
from executor_manager.containers.docker_promises import capabilities
from executor_manager.containers.docker_view import Found, View
from executor_manager.containers.errors import (
    BackendError,
    ImageMissing,
    Missing,
    NameTaken,
    Running,
    StartFailed,
    Timeout,
    Unreachable,
)
from executor_manager.containers.places import SOCKET, Record, record_of
from executor_manager.containers.preflight import MAPPED, examine, maps_users
from executor_manager.containers.removal import remove_all
from executor_manager.containers.runtimes import MOST_SECONDS, RuntimeTrial, Trial, candidates
from executor_manager.containers.threads import Threads

READING_THREADS = 8
CHANGING_THREADS = 16
DELETING_THREADS = 2
REMOVE_SECONDS = 60.0
TURN_SECONDS = 20.0
"""Of deleting one tree, while others wait, or our own end does."""
MARGIN_SECONDS = 1.0
"""The engine's own timeouts come first, so that a thread ends before its caller gives up."""

_UP = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})
_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerSite:
    """Which engine, and where the directories are."""

    host: str
    call_seconds: float
    volumes: Volumes
    state_host_dir: Path | None = None
    """As the engine's host sees the volumes; None: it is found out."""
    sockets_host_dir: Path | None = None


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
        self._on_host: Volumes | None = None
        self._info = Info()
        self._broker = Broker(self._engine, options)
        self.preflight: Sequence[PreflightFinding] = ()
        # a stop holds its thread for as long as its grace: it must not keep others from looking
        self._reading = Threads("docker-reading", READING_THREADS)
        self._changing = Threads("docker-changing", CHANGING_THREADS)
        self._deleting = Threads("docker-trash", DELETING_THREADS)
        self._ids: dict[str, str] = {}
        # a start whose caller gave up may still be under way when a stop comes
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
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
        printed = await self._look_inside()
        tried = await self._try_runtimes()
        await self._reading.call(lambda: self._judge(printed, tried), 2 * self._call)
        self._deleting.later(self._empty_trash)

    async def close(self) -> None:
        for threads in (self._reading, self._changing, self._deleting):
            threads.close()
        self._engine.close()

    async def adopt_or_create(self, spec: ContainerSpec) -> Container:
        return await self._changing.call(lambda: self._create(spec), 3 * self._call)

    async def bind(self, name: str, identity: Identity, egress: Sequence[str] = ()) -> Container:
        return await self._changing.call(lambda: self._bind(name, identity, egress), 3 * self._call)

    async def image(self) -> str:
        choice = ContainerChoice()
        return await self._reading.call(lambda: self._broker.admit(choice).image, self._call)

    async def start(self, name: str) -> Container:
        return await self._changing.call(lambda: self._start(name), START_SECONDS + 3 * self._call)

    async def stop(self, name: str, grace: float) -> Container:
        return await self._changing.call(lambda: self._stop(name, grace), grace + 3 * self._call)

    async def pause(self, name: str) -> Container:
        return await self._changing.call(lambda: self._pause(name), 3 * self._call)

    async def resume(self, name: str) -> Container:
        return await self._changing.call(lambda: self._resume(name), 3 * self._call)

    async def remove(self, name: str) -> None:
        bins = await self._changing.call(lambda: self._remove(name), 4 * self._call)
        await asyncio.gather(*(self._deleted(bin_) for bin_ in bins))

    async def _deleted(self, bin_: Path) -> None:
        """Nobody but the next manager would ask for it again."""
        await self._deleting.call(lambda: self._empty(bin_), REMOVE_SECONDS, sure=True)

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

    def _open(self) -> None:
        self._places.open()
        info = self._engine.check()
        if maps_users(info):
            raise BackendError(
                f"this engine maps uids (userns-remap, or rootless): {MAPPED}; use an"
                " engine that does not"
            )
        self._broker.admit(ContainerChoice())
        self._volumes_on_host()
        self._disks.look(self._engine, f"berth-quota-{self._options.manager_id}")
        self._info = info

    def _judge(self, printed: str, tried: dict[str, Trial]) -> None:
        facts = look(self._engine, self._info, self._site.volumes.state, printed, tried)
        self.preflight = examine(facts, self._options.waived)
        self._broker.judge(self._info, self.preflight, tried)

    async def _look_inside(self) -> str:
        """Empty where nothing could be run, which whoever starts a session will hear."""
        try:
            return (await self.probe.run(lambda _: LOOK_INSIDE)).text.decode(errors="replace")
        except BackendError as error:
            _log.warning("not_looked_inside", reason=error.reason, error=str(error))
            return ""

    async def _try_runtimes(self) -> dict[str, Trial]:
        places = (self._site.volumes.sockets, self._volumes_on_host().sockets)
        trial = RuntimeTrial(self._engine, self.probe, *places)
        names = candidates(self._info, self._options.runtimes)
        return await self._changing.call(lambda: trial.run(names), MOST_SECONDS * len(names) + 1)

    def _volumes_on_host(self) -> Volumes:
        if self._on_host is None:
            ours, site = self._site.volumes, self._site
            self._on_host = Volumes(
                state=site.state_host_dir
                or host_path(self._engine, ours.state, "BERTH_STATE_HOST_DIR"),
                sockets=site.sockets_host_dir
                or host_path(self._engine, ours.sockets, "BERTH_SOCKETS_HOST_DIR"),
            )
        return self._on_host

    def _create(self, spec: ContainerSpec) -> Container:
        name = spec.identity.name
        with self._locks[name]:
            try:
                record = self._recorded(spec)
                self._create_from(record)
            except (NameTaken, ImageMissing):
                found = self._view.find(name)
                if found is None or found.id is None:
                    raise
                return found.container
            failpoint_sync("docker.after_create")
            return Container(
                identity=spec.identity,
                state=ContainerState.CREATED,
                directories=self._places.directories(name),
                image=record.image or "",
            )

    def _recorded(self, spec: ContainerSpec) -> Record:
        """What was allowed first, with its directories: an image's name may mean another by now."""
        if (record := self._places.record(spec.identity.name)) is None:
            admitted = self._broker.admit(spec.choice)
            limits = replace(spec.limits, disk_by=self._disks.means_for(spec.limits))
            asked = replace(spec, limits=limits)
            record = record_of(asked, image=admitted.image, runtime=admitted.runtime)
        record = self._places.make(record)
        failpoint_sync("docker.recorded")
        return record

    def _create_from(self, record: Record) -> str:
        on_host = self._volumes_on_host().directories(record.name)
        configuration = session_container(self._options, record, on_host)
        self._ids[record.name] = made = self._engine.create(record.name, configuration)
        return made

    def _bind(self, name: str, identity: Identity, egress: Sequence[str]) -> Container:
        # nothing else holds two
        with self._locks[name], self._locks[identity.name]:
            found = self._view.known(name).container
            if found.state is not ContainerState.PAUSED:
                raise StartFailed(f"{name} is {found.state}: it cannot be used")
            self._places.bind(found.identity, identity, egress)
            failpoint_sync("docker.bound")
            self._ids.pop(name, None)
        self._locks.pop(name, None)
        return replace(found, identity=identity)

    def _start(self, name: str) -> Container:
        with self._locks[name]:
            # one that we made is not looked at first: that is a call less for a fresh session
            if (container_id := self._ids.pop(name, None)) is not None:
                try:
                    return self._start_one(name, container_id)
                except (Missing, StartFailed):
                    _log.info("start_looks_first", name=name)
            found = self._view.known(name)
            if found.container.state in _UP:
                return found.container
            if found.container.state is ContainerState.EXITED and not found.container.tree_gone:
                raise StartFailed("the former process tree is not proven to be gone")
            return self._start_one(name, self._made_ready(name, found))

    def _made_ready(self, name: str, found: Found) -> str:
        """Its directories are whole; one that the engine lost is made again over them."""
        record = self._places.record(name)
        if record is not None:
            self._places.make(record)
        exited = found.container.state is ContainerState.EXITED
        if record is not None and record.limits.disk_by == "tmpfs" and exited:
            raise StartFailed("its workspace was in memory, and is gone")
        if found.id is not None:
            return found.id
        if record is None:
            raise Missing(f"there is no container {name}")
        _log.warning("container_made_again", name=name)
        return self._create_from(record)

    def _start_one(self, name: str, container_id: str) -> Container:
        self._view.starting(container_id)
        with self._disks.held(self._places.record(name)) as lost:
            self._engine.start(container_id)
            if lost():
                # its device's number may have been another session's when the engine mounted it
                self._engine.stop(container_id, 0)
                raise Unreachable("the helper `volumes` ended while it lent a disk")
        failpoint_sync("docker.after_start")
        return self._view.known(name).container

    def _stop(self, name: str, grace: float) -> Container:
        with self._locks[name]:
            found = self._view.known(name)
            if found.id is None or found.container.state not in _UP:
                return found.container
            if found.container.state is ContainerState.PAUSED:
                self._engine.unpause(found.id)
            self._engine.stop(found.id, grace)
            stopped = self._view.known(name).container
            if stopped.state in _UP:
                raise Timeout(f"{name} still runs: the kernel holds its processes")
            return stopped

    def _pause(self, name: str) -> Container:
        with self._locks[name]:
            found = self._view.known(name)
            if found.id is not None and found.container.state is ContainerState.RUNNING:
                self._engine.pause(found.id)
                return self._view.known(name).container
            return found.container

    def _resume(self, name: str) -> Container:
        with self._locks[name]:
            found = self._view.known(name)
            if found.id is not None and found.container.state is ContainerState.PAUSED:
                self._engine.unpause(found.id)
                return self._view.known(name).container
            return found.container

    def _remove(self, name: str) -> tuple[Path, ...]:
        with self._locks[name]:
            bins = self._throw_away(name)
        self._locks.pop(name, None)
        return bins

    def _throw_away(self, name: str) -> tuple[Path, ...]:
        found = self._view.find(name)
        if found is None:
            return ()
        if found.container.state in _UP:
            raise Running(f"{name} runs: stop it first")
        self._ids.pop(name, None)
        if found.id is not None:
            self._engine.remove(found.id)
        record = self._places.record(name)
        if record is not None and record.limits.disk_by == "quota":
            self._engine.remove_volume(quota_volume(record.name))
        failpoint_sync("docker.after_remove")
        return tuple(self._places.throw_away(name))

    def _empty_trash(self) -> None:
        """What a former manager left. Nothing waits for it: it may be large, or not go at all."""
        for bin_ in self._places.bins():
            try:
                self._empty(bin_)
            except (BackendError, OSError) as error:
                _log.warning("trash_left", place=str(bin_), error=str(error))

    def _empty(self, bin_: Path) -> None:
        try:
            remove_all(bin_, deadline=TURN_SECONDS)
        except Timeout:
            # behind the others, whose are smaller perhaps
            self._deleting.later(lambda: self._empty(bin_))
            raise
        bin_.rmdir()
