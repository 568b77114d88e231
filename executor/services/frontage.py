"""What answers the manager, whether the executor behind it works or failed at its start."""

from chassis.errors import Stale
from contracts.errors import Code
from contracts.executors import (
    AskWorkspace,
    Deliver,
    Delivered,
    ExecutorPhase,
    ExecutorStatus,
    Supersede,
    WorkspaceState,
)
from contracts.terminals import ExecCommand, Executed
from contracts.wire import Empty
from executor.services.executor import Executor
from executor.services.files import WorkspaceFiles
from executor.services.terminals import AskedTerminal, Talk
from executor.settings import Settings


class Frontage:
    """`executor` is None until the spool is open; with a `refusal` it stays so."""

    def __init__(self, settings: Settings, boot_id: str) -> None:
        self.executor: Executor | None = None
        self.refusal = ""
        self._settings = settings
        self._boot_id = boot_id
        self._superseded = False

    async def status(self, _: Empty) -> ExecutorStatus:
        if self.executor is not None:
            return self.executor.status()
        return ExecutorStatus(
            worker_id=self._settings.worker_id,
            epoch=self._settings.epoch,
            boot_id=self._boot_id,
            phase=self._phase(),
            reason=self.refusal,
        )

    async def deliver(self, body: Deliver) -> Delivered:
        """Raises `Stale`."""
        self._check(body)
        if self.executor is None:
            return Delivered(done=[])
        return await self.executor.deliver(body)

    async def supersede(self, body: Supersede) -> Empty:
        """Raises `Stale`."""
        self._check(body)
        if self.executor is not None:
            self.executor.supersede("the manager says so")
        self._superseded = True
        return Empty()

    async def restore(self, body: AskWorkspace) -> WorkspaceState:
        """Raises `BerthError`, as those that follow."""
        self._check(body)
        return await self._working().upkeep.restore()

    async def link_agent_data(self, body: AskWorkspace) -> WorkspaceState:
        self._check(body)
        return await self._working().upkeep.link_agent_data()

    async def validate(self, body: AskWorkspace) -> WorkspaceState:
        self._check(body)
        return await self._working().upkeep.validate()

    async def sync(self, body: AskWorkspace) -> WorkspaceState:
        self._check(body)
        return await self._working().upkeep.sync()

    def files(self) -> WorkspaceFiles:
        """Raises `BerthError`."""
        if self.executor is None:
            raise Stale(Code.CONFLICT, "there is no workspace yet", retry_after=1.0)
        return self.executor.files

    async def attach(self, asked: AskedTerminal) -> Talk:
        """Raises `BerthError`."""
        return await self._working().terminals.attach(asked)

    async def run_command(self, asked: ExecCommand) -> Executed:
        """Raises `BerthError`."""
        return await self._working().terminals.run(asked)

    def _working(self) -> Executor:
        if self.executor is None:
            raise Stale(Code.WORKER_NOT_RUNNING, "the worker is being started", retry_after=1.0)
        return self.executor

    def _check(self, body: Deliver | Supersede | AskWorkspace) -> None:
        settings = self._settings
        if body.worker_id not in {None, settings.worker_id}:
            # whoever reached the wrong socket must not be done with its own worker
            raise Stale(Code.STALE_EPOCH, f"this is the executor of worker {settings.worker_id}")
        if body.epoch != settings.epoch:
            raise Stale(Code.STALE_EPOCH, f"this worker's epoch is {settings.epoch}")

    def _phase(self) -> ExecutorPhase:
        # superseded or not: before the spool is open nobody knows what there is to save
        if not self.refusal:
            return ExecutorPhase.STARTING
        return ExecutorPhase.SUPERSEDED if self._superseded else ExecutorPhase.FAILED
