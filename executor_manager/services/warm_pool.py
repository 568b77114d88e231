"""Containers that were started before anybody asked: paused, each for one session, once.

    making → ready → bound            (from then on a worker's, like any other)
       └───────┴───→ discarded        (dead, of another image or kind than now wanted, too many)

What is ready is known here only, and nowhere durable: nothing of anybody's is in it, so what a
former manager left is removed. What is bound is the backend's record, made before it is used. See
docs/adr/0017-warm-containers-are-bound-once.md.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.logs import get_logger
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerSpec,
    ContainerState,
    Identity,
    Listing,
)
from executor_manager.containers.errors import BackendError, NameTaken
from executor_manager.metrics import ManagerMetrics
from executor_manager.services import spools
from executor_manager.services.setbacks import growing
from executor_manager.services.warm_start import WarmStart
from executor_manager.services.ways_out import EGRESS
from executor_manager.services.workers import Stage, Worker, Workers

MOST = 64
"""However many are wanted."""
BACKOFF_FIRST = 1.0
QUIET_SECONDS = 0.5
"""Between two looks whether any starts."""
YIELD_SECONDS = 10.0
"""Cold starts go first; where they never end, one warm one is made in so many seconds."""
DRAIN_SECONDS = 20.0

Fresh = Callable[[Identity], ContainerSpec]
"""What a start would ask for, of a session that asks for nothing special."""

_log = get_logger()


@dataclass(frozen=True, slots=True)
class _Warm:
    spec: ContainerSpec
    ready_at: float
    """By the event loop's clock."""

    @property
    def name(self) -> str:
        return self.spec.identity.name

    def fits(self, wanted: ContainerSpec) -> bool:
        """In everything but whose it is, and what that one's tools find."""
        own = replace(wanted, identity=self.spec.identity)
        return _of_anybody(own) == _of_anybody(self.spec)


@dataclass(slots=True, kw_only=True)
class WarmPool:
    backend: ContainerBackend
    workers: Workers
    metrics: ManagerMetrics
    boot_deadline: float
    size: int = 0
    """Wanted; an administrator may change it while we run."""
    _ready: deque[_Warm] = field(default_factory=deque[_Warm])
    _busy: set[str] = field(default_factory=set[str])
    """Names that are being made or bound."""
    _clean: bool = False
    """The backend has none that is not bound."""
    _failures: int = 0
    _next_at: float = 0.0

    @property
    def ready(self) -> int:
        return len(self._ready)

    @property
    def wanted(self) -> int:
        """One that no worker could ever take is only memory."""
        if not self.backend.keeps_warm:
            return 0
        return max(0, min(self.size, self.workers.most, MOST))

    async def take(self, worker: Worker, spec: ContainerSpec) -> Container | None:
        """One that is paused and this worker's from now on; None: start it cold."""
        if not self._ready and not self.wanted:
            return None
        if any(_has_volume(other, worker) for other in self.workers):
            return self._missed("volume")
        warm = next((one for one in self._ready if one.fits(spec)), None)
        if warm is None:
            return self._missed("unlike" if self._ready else "empty")
        self._ready.remove(warm)
        self._busy.add(warm.name)
        try:
            return await self._bind(warm, spec)
        finally:
            self._busy.discard(warm.name)

    async def give_up(self, worker: Worker, reason: str) -> bool:
        """Of one that was bound and does not come up: it is removed, as long as the session's
        executor never was up in it. False: it was, or that cannot be known.
        """
        self.metrics.warm_failures.inc()
        _log.warning("warm_given_up", name=worker.name, reason=reason)
        try:
            stopped = await self.backend.stop(worker.name, 0)
            if not await asyncio.to_thread(spools.untouched, stopped):
                return False
            await self.backend.remove(worker.name)
        except BackendError as error:
            _log.warning("warm_not_removed", name=worker.name, error=str(error))
            return False
        return True

    async def run_once(self, fresh: Fresh) -> None:
        """Looks after those that wait, and makes what is missing, one at a time."""
        if not self.backend.keeps_warm:
            return
        try:
            if self.wanted or self._ready or not self._clean:
                await self._tidy(fresh(Identity.warm(new_id())))
        except BackendError as error:
            _log.warning("backend_away", reason=error.reason, error=str(error))
            return
        loop = asyncio.get_running_loop()
        while len(self._ready) < self.wanted and loop.time() >= self._next_at:
            await self._until_quiet()
            await self._make_one(fresh(Identity.warm(new_id())))
        self._measure()

    async def drain(self) -> None:
        """None is left, and none is made any more; what resists is the next manager's to remove."""
        self.size = 0
        self._ready.clear()
        if not self.backend.keeps_warm or self._clean:
            return
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                left = (await self.backend.list()).warm
                await asyncio.gather(*(self._discard(one.name) for one in left))
        except (BackendError, TimeoutError) as error:
            _log.warning("warm_not_drained", error=str(error) or f"{DRAIN_SECONDS:g} s")

    async def _bind(self, warm: _Warm, spec: ContainerSpec) -> Container | None:
        await failpoint("warm.before_binding")
        identity, egress = spec.identity, spec.environment.get(EGRESS, "")
        try:
            words = egress.split(",") if egress else []
            container = await self.backend.bind(warm.name, identity, words)
        except NameTaken as error:
            # the session's: this one is as good as before
            self._ready.appendleft(warm)
            _log.info("warm_not_needed", name=warm.name, reason=str(error))
            return self._missed("volume")
        except BackendError as error:
            # whether it was recorded is not known: the next pass sees what it is
            self.metrics.warm_failures.inc()
            _log.warning("warm_not_bound", name=warm.name, reason=error.reason, error=str(error))
            return self._missed("failed")
        await failpoint("warm.bound")
        age = asyncio.get_running_loop().time() - warm.ready_at
        self.metrics.warm_hits.inc()
        self.metrics.warm_age_seconds.observe(age)
        _log.info("warm_bound", name=warm.name, worker=identity.worker_id, age=round(age, 1))
        return container

    def _missed(self, reason: str) -> None:
        self.metrics.warm_misses.labels(reason).inc()

    async def _tidy(self, wanted: ContainerSpec) -> None:
        """Whatever should not be used, or is nobody's, goes."""
        before = list(self._ready)
        listing = await self.backend.list()
        image = await self.backend.image()
        fit = {one.name for one in listing.warm if _usable(one, image)}
        for warm in before:
            if warm in self._ready and not (warm.name in fit and warm.fits(wanted)):
                self._ready.remove(warm)
                if warm.name not in fit:
                    self.metrics.warm_failures.inc()
                    _log.warning("warm_unfit", name=warm.name)
        while len(self._ready) > self.wanted:
            self._ready.popleft()
        await self._discard_unknown(listing)

    async def _discard_unknown(self, listing: Listing) -> None:
        """Also what was taken out above: it is known no more."""
        known = {warm.name for warm in self._ready} | self._busy
        left = [one.name for one in listing.warm if one.name not in known]
        gone = [await self._discard(name) for name in left]
        self._clean = all(gone) and not known

    async def _make_one(self, spec: ContainerSpec) -> None:
        loop, name = asyncio.get_running_loop(), spec.identity.name
        self._busy.add(name)
        self._clean = False
        try:
            async with asyncio.timeout(self.boot_deadline):
                await WarmStart(self.backend, spec).run()
        except (BackendError, TimeoutError) as error:
            self._failures += 1
            pause = growing(BACKOFF_FIRST, self._failures - 1)
            self._next_at = loop.time() + pause
            self.metrics.warm_failures.inc()
            _log.warning("warm_start_failed", name=name, error=str(error), pause=pause)
            await self._discard(name)
        else:
            self._failures = 0
            self._ready.append(_Warm(spec, loop.time()))
            _log.info("warm_ready", name=name)
        finally:
            self._busy.discard(name)

    async def _until_quiet(self) -> None:
        ends = asyncio.get_running_loop().time() + YIELD_SECONDS
        while any(one.stage is Stage.ACTIVATING for one in self.workers):
            if asyncio.get_running_loop().time() > ends:
                return
            await asyncio.sleep(QUIET_SECONDS)

    async def _discard(self, name: str) -> bool:
        """False: it is there still. One that was bound meanwhile has no such name any more."""
        try:
            if await self.backend.get(name) is not None:
                await self.backend.stop(name, 0)
                await self.backend.remove(name)
        except BackendError as error:
            _log.warning("warm_not_removed", name=name, reason=error.reason, error=str(error))
            return False
        return True

    def _measure(self) -> None:
        self.metrics.warm.labels("wanted").set(self.wanted)
        self.metrics.warm.labels("ready").set(len(self._ready))


def _of_anybody(spec: ContainerSpec) -> ContainerSpec:
    environment = {name: text for name, text in spec.environment.items() if name != EGRESS}
    return replace(spec, environment=environment)


def _usable(container: Container, image: str) -> bool:
    return container.state is ContainerState.PAUSED and container.image == image


def _has_volume(other: Worker, worker: Worker) -> bool:
    """Of the same session, on this host."""
    same = other.identity.session_id == worker.identity.session_id
    return same and other.id != worker.id
