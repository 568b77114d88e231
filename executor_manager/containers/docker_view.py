"""The containers of this manager as the engine and our directories show them, side by side.

One whose container the engine does not have any more, while its directories are here, has exited
and can be started: then it is made again over them. Until it is, its new container was never
started, and still it has exited: its directories say so.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from signal import Signals
from uuid import UUID

from executor_manager.containers import docker_configuration as configuration
from executor_manager.containers.backend import (
    Container,
    ContainerState,
    Identity,
    Listing,
    Stats,
)
from executor_manager.containers.docker_engine import Engine, Inspected, Listed, Measured, State
from executor_manager.containers.docker_places import DockerPlaces, answers, used
from executor_manager.containers.errors import Missing, NameTaken

_STATES = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "restarting": ContainerState.RUNNING,
    "paused": ContainerState.PAUSED,
    "exited": ContainerState.EXITED,
    "removing": ContainerState.EXITED,
    "dead": ContainerState.EXITED,
}
FIRST_SIGNAL, LAST_SIGNAL = 129, 192


@dataclass(frozen=True, slots=True)
class Found:
    """`id` is the engine's; None: the engine does not have it."""

    id: str | None
    container: Container


@dataclass(frozen=True, slots=True)
class _Ended:
    start: int
    """Which of its starts this ended."""
    state: State


class View:
    """All of it blocks, and raises `BackendError`."""

    def __init__(self, manager_id: UUID, engine: Engine, places: DockerPlaces) -> None:
        self._manager_id = manager_id
        self._engine = engine
        self._places = places
        # a list has no exit codes, and asking for each would cost a call per container
        self._ended: dict[str, _Ended] = {}
        self._starts: defaultdict[str, int] = defaultdict(int)
        self._counting = threading.Lock()

    def starting(self, container_id: str) -> None:
        """What is remembered of its former end is void."""
        with self._counting:
            self._starts[container_id] += 1

    def find(self, name: str) -> Found | None:
        """Raises `NameTaken` when something else has the name and the directories are ours."""
        made_as, whose = self._places.bindings.made_as(name), self._places.bindings.whose
        seen = self._engine.inspect(made_as)
        record = self._places.record(name)
        if seen is not None:
            identity = self._identity(seen.config.labels or {}, made_as)
            if identity is not None:
                # bound, it goes by its former name no more
                known = whose(identity).name == name
                return self._found(seen, whose(identity)) if known else None
            if record is not None:
                raise NameTaken(f"another's container has the name {made_as}")
        if record is None:
            return None
        lost = self._unstarted(whose(record.identity))
        return Found(None, replace(lost, image=record.image or ""))

    def known(self, name: str) -> Found:
        if (found := self.find(name)) is None:
            raise Missing(f"there is no container {name}")
        return found

    def list(self) -> Listing:
        ours = {
            configuration.ROLE: configuration.SESSION_ROLE,
            configuration.MANAGER: str(self._manager_id),
        }
        # before the engine is asked: what is made in between is then in both
        records, strangers = self._places.records()
        whose = self._places.bindings.whose
        containers: dict[str, Container] = {}
        listed = self._engine.listed(ours)
        for one in listed:
            identity = self._identity(one.labels or {}, one.name)
            if identity is None:
                strangers.append(one.name)
            elif (container := self._listed(whose(identity), one)) is not None:
                containers[container.name] = replace(container, image=one.image_id)
        self._forget({one.id for one in listed})
        for name in (whose(record.identity).name for record in records):
            # it may have been removed, or made, since: only one that still has its record is lost
            if name in containers:
                continue
            try:
                found = self.find(name)
            except NameTaken:
                strangers.append(name)
                continue
            if found is not None:
                containers[name] = found.container
        found_all = list(containers.values())
        return Listing(
            containers=[one for one in found_all if not one.identity.is_warm],
            strangers=strangers,
            warm=[one for one in found_all if one.identity.is_warm],
        )

    def stats(self, name: str) -> Stats:
        found = self.known(name)
        if found.id is None or found.container.state is not ContainerState.RUNNING:
            return Stats(memory_bytes=0, cpu_seconds=0.0, processes=0)
        return _stats(self._engine.measured(found.id))

    def logs(self, name: str, size: int) -> bytes:
        found = self.find(name)
        return self._engine.logs(found.id, size) if found and found.id else b""

    def _identity(self, labels: dict[str, str], name: str) -> Identity | None:
        """None: it is not ours, or does not tell whose it is."""
        identity = configuration.identity_of(labels)
        if identity is None or identity.name != name.removeprefix("/"):
            return None
        ours = configuration.labels(self._manager_id, identity)
        return identity if ours.items() <= labels.items() else None

    def _listed(self, identity: Identity, one: Listed) -> Container | None:
        state = _STATES[one.state]
        if state is ContainerState.CREATED:
            return self._unstarted(identity)
        if state is not ContainerState.EXITED:
            directories = self._places.directories(identity.name)
            return Container(identity=identity, state=state, directories=directories)
        start = self._starts[one.id]
        ended = self._ended.get(one.id)
        if ended is None or ended.start != start:
            seen = self._engine.inspect(one.id)
            if seen is None:
                return None
            ended = _Ended(start, seen.state)
            if seen.state.pid == 0 and seen.state.status == "exited":
                self._ended[one.id] = ended
        return self._container(identity, ended.state)

    def _forget(self, kept: set[str]) -> None:
        for gone in self._ended.keys() - kept:
            self._ended.pop(gone, None)
            self._starts.pop(gone, None)

    def _found(self, seen: Inspected, identity: Identity) -> Found:
        return Found(seen.id, replace(self._container(identity, seen.state), image=seen.image))

    def _container(self, identity: Identity, state: State) -> Container:
        kind = _STATES[state.status]
        if kind is ContainerState.CREATED:
            return self._unstarted(identity)
        exited = kind is ContainerState.EXITED
        code = _signed(state.exit_code)
        return Container(
            identity=identity,
            state=kind,
            directories=self._places.directories(identity.name),
            exit_code=code if exited else None,
            # the kernel tells it of a child's end too, which the executor may well survive: of its
            # own it was only if a SIGKILL ended it that nobody here sent
            out_of_memory=exited and state.oom_killed and code == -Signals.SIGKILL,
            # its first process is gone, and with it the kernel ends all of its pid namespace
            tree_gone=exited and state.pid == 0,
            stopped_at=state.finished if exited else None,
        )

    def _unstarted(self, identity: Identity) -> Container:
        """The engine has started none over its directories. Only if they were never used, none was
        ever started: what they hold may be an earlier one's, that the engine lost.
        """
        directories = self._places.directories(identity.name)
        exited = used(directories)
        return Container(
            identity=identity,
            state=ContainerState.EXITED if exited else ContainerState.CREATED,
            directories=directories,
            # an engine that lost its data may have left processes behind
            tree_gone=exited and not answers(directories),
        )


def _signed(code: int) -> int:
    """128 + n is how a shell and a container's init tell of signal n."""
    return 128 - code if FIRST_SIGNAL <= code <= LAST_SIGNAL else code


def _stats(measured: Measured) -> Stats:
    memory = measured.memory_stats
    # pages that the kernel may take back at any time: by the names of both versions of cgroups
    cached = memory.stats.get("total_inactive_file", memory.stats.get("inactive_file", 0))
    return Stats(
        memory_bytes=max(0, memory.usage - cached),
        cpu_seconds=measured.cpu_stats.cpu_usage.total_usage / 1e9,
        processes=measured.pids_stats.current,
    )
