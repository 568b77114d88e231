"""The `process` backend: a session is a tree of processes on this host, kept by a `keeper`.

The embedded default. It is honest about what it is not: see `capabilities.not_isolated`.
"""

import subprocess
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from uuid import uuid4

from chassis.failpoints import failpoint_sync
from chassis.logs import get_logger
from contracts.containers import ContainerOffer
from contracts.disks import DiskMeans
from contracts.preflight import PreflightFinding
from executor_manager.containers import keeping, places
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
from executor_manager.containers.errors import (
    BackendError,
    Missing,
    Running,
    StartFailed,
    Timeout,
)
from executor_manager.containers.places import Record
from executor_manager.containers.process_promises import NO_TIER, capabilities
from executor_manager.containers.program import Program
from executor_manager.containers.refusals import require
from executor_manager.containers.sandbox import Found
from executor_manager.containers.threads import Threads
from executor_manager.containers.trash import Trash

THREADS = 8
CALL_SECONDS = 10.0
LOOK_SECONDS = 40.0
START_SECONDS = 20.0
KILL_SECONDS = 10.0

_log = get_logger()


class ProcessBackend:
    kind = "process"
    keeps_warm = False

    def __init__(self, state_dir: Path, program: Program) -> None:
        self._state_dir = state_dir
        self._workers = state_dir / "workers"
        self._bins = state_dir / "trash"
        self._program = program
        self._found = Found(sandbox=None, lacking="nobody has looked yet")
        self._threads = Threads("process-backend", THREADS)
        self._trash = Trash("process-backend-trash")
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # a start whose caller gave up may still be under way when a stop comes
        self._changing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def capabilities(self) -> Capabilities:
        return capabilities(
            separate_user=self._program.owner.uid is not None, lacking=self._found.lacking
        )

    async def open(self) -> None:
        await self._threads.call(self._open, CALL_SECONDS)
        self._found = await self._threads.call(
            lambda: self._program.find_sandbox(self._state_dir), LOOK_SECONDS
        )
        if self._found.sandbox is None:
            _log.warning("no_sandbox", reason=self._found.lacking)
        self._trash.empty(self._bins.iterdir)

    async def close(self) -> None:
        self._threads.close()
        self._trash.close()

    async def adopt_or_create(self, spec: ContainerSpec) -> Container:
        return await self._threads.call(lambda: self._create(spec), CALL_SECONDS)

    @property
    def offer(self) -> ContainerOffer:
        return ContainerOffer(untrusted=[NO_TIER])

    @property
    def preflight(self) -> Sequence[PreflightFinding]:
        return ()

    def disk_means(self, limits: Limits) -> DiskMeans | None:
        return None if limits.disk_bytes is None else "watch"

    async def bind(self, name: str, identity: Identity, egress: Sequence[str] = ()) -> Container:
        del egress
        raise BackendError(
            f"{name} cannot be {identity.name}: a process is started for one session"
        )

    async def image(self) -> str:
        return ""

    async def start(self, name: str) -> Container:
        return await self._threads.call(lambda: self._start(name), START_SECONDS + CALL_SECONDS)

    async def stop(self, name: str, grace: float) -> Container:
        return await self._threads.call(lambda: self._stop(name, grace), grace + 3 * KILL_SECONDS)

    async def pause(self, name: str) -> Container:
        return await self._threads.call(lambda: self._pause(name), CALL_SECONDS)

    async def resume(self, name: str) -> Container:
        return await self._threads.call(lambda: self._resume(name), CALL_SECONDS)

    async def remove(self, name: str) -> None:
        bin_ = await self._threads.call(lambda: self._remove(name), CALL_SECONDS + KILL_SECONDS)
        if bin_ is not None:
            await self._trash.delete(bin_)

    async def get(self, name: str) -> Container | None:
        return await self._threads.call(lambda: self._find(name), CALL_SECONDS)

    async def list(self) -> Listing:
        return await self._threads.call(self._list, CALL_SECONDS)

    async def stats(self, name: str) -> Stats:
        return await self._threads.call(lambda: self._stats(name), CALL_SECONDS)

    async def logs(self, name: str, size: int = 64 * 1024) -> bytes:
        return await self._threads.call(lambda: keeping.tail(self._place(name), size), CALL_SECONDS)

    def address(self, container: Container) -> Path:
        return container.directories.control / places.SOCKET

    def _open(self) -> None:
        places.require_short(self._workers, f"state directory {self._workers.parent}")
        # those who run as another user must pass through to their own directory
        mode = 0o700 if self._program.owner.uid is None else 0o711
        self._workers.mkdir(mode=mode, parents=True, exist_ok=True)
        self._workers.chmod(mode)
        self._bins.mkdir(mode=0o700, exist_ok=True)

    def _place(self, name: str) -> Path:
        return self._workers / places.short(name)

    def _find(self, name: str) -> Container | None:
        place = self._place(name)
        record = places.read(place / places.RECORD, Record)
        return self._container(place, record) if record and record.name == name else None

    def _known(self, name: str) -> Container:
        if (found := self._find(name)) is None:
            raise Missing(f"there is no container {name}")
        return found

    def _container(self, place: Path, record: Record) -> Container:
        if (child := self._children.get(record.name)) and child.poll() is not None:
            del self._children[record.name]  # reaped
        kept = keeping.kept(place)
        status = keeping.status(place)
        exited = status is not None and status.state == "exited"
        if kept:
            paused = (place / places.PAUSED).exists()
            state = ContainerState.PAUSED if paused else ContainerState.RUNNING
        else:
            state = ContainerState.EXITED if status else ContainerState.CREATED
        return Container(
            identity=record.identity,
            state=state,
            directories=places.directories(place),
            exit_code=status.exit_code if status and exited and not kept else None,
            tree_gone=not kept and keeping.tree_gone(status),
            stopped_at=status.ended_at if status and exited and not kept else None,
        )

    def _create(self, spec: ContainerSpec) -> Container:
        place = self._place(spec.identity.name)
        if not (place / places.RECORD).exists():
            require(self.offer, spec.choice)
        record = places.make(place, places.record_of(spec), self._program.owner)
        failpoint_sync("process.after_create")
        return self._container(place, record)

    def _start(self, name: str) -> Container:
        with self._changing[name]:
            return self._start_alone(name)

    def _start_alone(self, name: str) -> Container:
        found, place = self._known(name), self._place(name)
        if found.state in {ContainerState.RUNNING, ContainerState.PAUSED}:
            return found
        if found.state is ContainerState.EXITED and not found.tree_gone:
            raise StartFailed("the former process tree is not proven to be gone")
        (place / places.PAUSED).unlink(missing_ok=True)
        child = keeping.spawn(place, self._program.launch(found, place, self._found.sandbox))
        self._children[name] = child
        failpoint_sync("process.after_spawn")
        keeping.wait_started(place, child, START_SECONDS)
        return self._known(name)

    def _stop(self, name: str, grace: float) -> Container:
        with self._changing[name]:
            return self._stop_alone(name, grace)

    def _stop_alone(self, name: str, grace: float) -> Container:
        found, place = self._known(name), self._place(name)
        if found.state is ContainerState.PAUSED:
            self._resume(name)
        keeping.signal_keeper(place, Signals.SIGTERM)
        if not keeping.wait_gone(place, grace):
            keeping.signal_keeper(place, Signals.SIGUSR1)
            if not keeping.wait_gone(place, KILL_SECONDS):
                raise Timeout(f"processes of {name} survive SIGKILL: the kernel holds them")
        if not keeping.kill_strays(place, KILL_SECONDS):
            raise Timeout(f"processes of {name} survive SIGKILL: the kernel holds them")
        return self._known(name)

    def _pause(self, name: str) -> Container:
        self._known(name)
        place = self._place(name)
        (place / places.PAUSED).touch()
        keeping.signal_tree(place, Signals.SIGSTOP, KILL_SECONDS / 2)
        return self._known(name)

    def _resume(self, name: str) -> Container:
        self._known(name)
        place = self._place(name)
        keeping.signal_tree(place, Signals.SIGCONT, KILL_SECONDS / 2)
        (place / places.PAUSED).unlink(missing_ok=True)
        return self._known(name)

    def _remove(self, name: str) -> Path | None:
        with self._changing[name]:
            bin_ = self._throw_away(name)
        self._changing.pop(name, None)
        return bin_

    def _throw_away(self, name: str) -> Path | None:
        """Gone at once for whoever looks; the deleting may take its time."""
        found, place = self._find(name), self._place(name)
        if found is None:
            return None
        if found.state in {ContainerState.RUNNING, ContainerState.PAUSED}:
            raise Running(f"{name} runs: stop it first")
        keeping.kill_strays(place, KILL_SECONDS)
        bin_ = self._bins / uuid4().hex
        bin_.mkdir(mode=0o700)
        place.rename(bin_ / "0")
        places.sync(self._workers)
        return bin_

    def _list(self) -> Listing:
        containers: list[Container] = []
        strangers: list[str] = []
        for place in sorted(self._workers.iterdir()):
            record = places.read(place / places.RECORD, Record)
            if record is not None and self._find(record.identity.name) is not None:
                containers.append(self._container(place, record))
            else:
                strangers.append(str(place))
        return Listing(containers=containers, strangers=strangers)

    def _stats(self, name: str) -> Stats:
        tree = keeping.tree(self._place(self._known(name).name))
        return Stats(
            memory_bytes=sum(seen.memory_bytes for seen in tree),
            cpu_seconds=sum(seen.cpu_seconds for seen in tree),
            processes=len(tree),
        )
