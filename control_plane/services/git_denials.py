"""What was refused of git's requests, told to the session's log: equal ones are one, and a worker
that is refused again and again is told of in batches.
"""

import asyncio
from uuid import UUID

import asyncpg

from chassis.clock import wall_time
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.egress import Denial, TellDenials
from control_plane.domain.access import WorkerCaller
from control_plane.services.egress import Egress

GIT = "git"
PAUSE_SECONDS = 2.0
"""Between two batches of one worker."""
MOST_KINDS = 32
"""Of one batch; what comes besides is one, without its path."""
REST = "more"
TRIES = 5
STOP_SECONDS = 2.0

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

Kinds = dict[tuple[str, ...], Denial]

_log = get_logger()


class GitDenials:
    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._waiting: dict[UUID, Kinds] = {}
        self._telling: dict[UUID, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    def note(
        self, worker: WorkerCaller, *, method: str, host: str, port: int, path: str, rule: str
    ) -> None:
        """Told soon, by a task of its own: whoever is refused waits for nothing."""
        kinds = self._waiting.setdefault(worker.id, {})
        kind = (method, host, path, rule)
        if kind not in kinds and len(kinds) >= MOST_KINDS:
            kind, host, port, path, rule = (method, REST), "", 0, "", REST
        known = kinds.get(kind)
        kinds[kind] = Denial(
            upstream=GIT,
            method=method,
            host=host,
            port=port,
            path=path,
            rule=rule,
            count=1 if known is None else known.count + 1,
            at=wall_time(),
        )
        if worker.id not in self._telling:
            self._telling[worker.id] = asyncio.create_task(self._tell(worker))

    async def stop(self) -> None:
        """What waits is told now."""
        self._stopping.set()
        if telling := set(self._telling.values()):
            await asyncio.wait(telling, timeout=STOP_SECONDS)

    async def _tell(self, worker: WorkerCaller) -> None:
        try:
            while kinds := self._waiting.pop(worker.id, {}):
                await self._tell_batch(worker, kinds)
                await self._pause()
        finally:
            self._telling.pop(worker.id, None)

    async def _tell_batch(self, worker: WorkerCaller, kinds: Kinds) -> None:
        told = TellDenials(batch_id=new_id(), denials=list(kinds.values()))
        for _ in range(TRIES):
            try:
                await self._egress.tell(worker, told)
            except AWAY as error:
                _log.warning("git_denials_untold", worker=worker.id, error=type(error).__name__)
                await self._pause()
            else:
                return

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            return
