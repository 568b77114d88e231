"""What is done to the containers of an engine: one change at a time to each."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chassis.failpoints import failpoint_sync
from chassis.logs import get_logger
from executor_manager.containers.backend import (
    Container,
    ContainerSpec,
    ContainerState,
    Identity,
)
from executor_manager.containers.broker import Broker
from executor_manager.containers.docker_configuration import DockerOptions, session_container
from executor_manager.containers.docker_disks import DockerDisks, quota_volume
from executor_manager.containers.docker_engine import Engine
from executor_manager.containers.docker_places import DockerPlaces, Volumes
from executor_manager.containers.docker_view import Found, View
from executor_manager.containers.errors import (
    ImageMissing,
    Missing,
    NameTaken,
    Running,
    StartFailed,
    Timeout,
    Unreachable,
)
from executor_manager.containers.places import Record, record_of

HELPER_ENDED = "the helper `volumes` ended while it lent a disk"
_UP = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})
_log = get_logger()


@dataclass(slots=True, kw_only=True)
class Changes:
    """All of it blocks, and raises `BackendError`."""

    engine: Engine
    places: DockerPlaces
    view: View
    broker: Broker
    disks: DockerDisks
    options: DockerOptions
    on_host: Callable[[], Volumes]
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """The engine's, of those that were made and not started yet."""
    # a start whose caller gave up may still be under way when a stop comes
    _locks: defaultdict[str, threading.Lock] = field(
        default_factory=lambda: defaultdict[str, threading.Lock](threading.Lock)
    )

    def create(self, spec: ContainerSpec) -> Container:
        name = spec.identity.name
        with self._locks[name]:
            try:
                record = self._recorded(spec)
                self._create_from(record)
            except (NameTaken, ImageMissing):
                found = self.view.find(name)
                if found is None or found.id is None:
                    raise
                return found.container
            failpoint_sync("docker.after_create")
            return Container(
                identity=spec.identity,
                state=ContainerState.CREATED,
                directories=self.places.directories(name),
                image=record.image or "",
            )

    def _recorded(self, spec: ContainerSpec) -> Record:
        """What was allowed first, with its directories: an image's name may mean another by now."""
        if (record := self.places.record(spec.identity.name)) is None:
            admitted = self.broker.admit(spec.choice)
            limits = replace(spec.limits, disk_by=self.disks.means_for(spec.limits))
            asked = replace(spec, limits=limits)
            record = record_of(asked, image=admitted.image, runtime=admitted.runtime)
        record = self.places.make(record)
        failpoint_sync("docker.recorded")
        return record

    def _create_from(self, record: Record) -> str:
        on_host = self.on_host().directories(record.name)
        configuration = session_container(self.options, record, on_host)
        self.ids[record.name] = made = self.engine.create(record.name, configuration)
        return made

    def bind(self, name: str, identity: Identity, egress: Sequence[str]) -> Container:
        # nothing else holds two
        with self._locks[name], self._locks[identity.name]:
            found = self.view.known(name).container
            if found.state is not ContainerState.PAUSED:
                raise StartFailed(f"{name} is {found.state}: it cannot be used")
            self.places.bind(found.identity, identity, egress)
            failpoint_sync("docker.bound")
            self.ids.pop(name, None)
        self._locks.pop(name, None)
        return replace(found, identity=identity)

    def start(self, name: str) -> Container:
        with self._locks[name]:
            # one that we made is not looked at first: that is a call less for a fresh session
            if (container_id := self.ids.pop(name, None)) is not None:
                try:
                    return self._start_one(name, container_id)
                except (Missing, StartFailed):
                    _log.info("start_looks_first", name=name)
            found = self.view.known(name)
            if found.container.state in _UP:
                return found.container
            if found.container.state is ContainerState.EXITED and not found.container.tree_gone:
                raise StartFailed("the former process tree is not proven to be gone")
            return self._start_one(name, self._made_ready(name, found))

    def _made_ready(self, name: str, found: Found) -> str:
        """Its directories are whole; one that the engine lost is made again over them."""
        record = self.places.record(name)
        if record is not None:
            self.places.make(record)
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
        self.view.starting(container_id)
        with self.disks.held(self.places.record(name)) as lost:
            try:
                self.engine.start(container_id)
            except StartFailed as error:
                if lost():
                    raise Unreachable(HELPER_ENDED) from error
                raise
            if lost():
                # its device's number may have been another session's when the engine mounted it
                self.engine.stop(container_id, 0)
                raise Unreachable(HELPER_ENDED)
        failpoint_sync("docker.after_start")
        return self.view.known(name).container

    def stop(self, name: str, grace: float) -> Container:
        with self._locks[name]:
            found = self.view.known(name)
            if found.id is None or found.container.state not in _UP:
                return found.container
            if found.container.state is ContainerState.PAUSED:
                self.engine.unpause(found.id)
            self.engine.stop(found.id, grace)
            stopped = self.view.known(name).container
            if stopped.state in _UP:
                raise Timeout(f"{name} still runs: the kernel holds its processes")
            return stopped

    def pause(self, name: str) -> Container:
        return self._changed_from(name, ContainerState.RUNNING, self.engine.pause)

    def resume(self, name: str) -> Container:
        return self._changed_from(name, ContainerState.PAUSED, self.engine.unpause)

    def _changed_from(
        self, name: str, state: ContainerState, change: Callable[[str], None]
    ) -> Container:
        """Nothing happens to one of another state."""
        with self._locks[name]:
            found = self.view.known(name)
            if found.id is None or found.container.state is not state:
                return found.container
            change(found.id)
            return self.view.known(name).container

    def remove(self, name: str) -> tuple[Path, ...]:
        with self._locks[name]:
            bins = self._throw_away(name)
        self._locks.pop(name, None)
        return bins

    def _throw_away(self, name: str) -> tuple[Path, ...]:
        found = self.view.find(name)
        if found is None:
            return ()
        if found.container.state in _UP:
            raise Running(f"{name} runs: stop it first")
        self.ids.pop(name, None)
        if found.id is not None:
            self.engine.remove(found.id)
        record = self.places.record(name)
        if record is not None and record.limits.disk_by == "quota":
            self.engine.remove_volume(quota_volume(record.name))
        failpoint_sync("docker.after_remove")
        return tuple(self.places.throw_away(name))
