"""What answers the manager, whether the executor behind it works or failed at its start."""

from chassis.errors import Stale
from contracts.errors import Code
from contracts.executors import Deliver, Delivered, ExecutorPhase, ExecutorStatus
from executor.services.executor import Executor
from executor.settings import Settings


class Frontage:
    """`executor` is None until the spool is open; with a `refusal` it stays so."""

    def __init__(self, settings: Settings, boot_id: str) -> None:
        self.executor: Executor | None = None
        self.refusal = ""
        self._settings = settings
        self._boot_id = boot_id
        self._superseded = False

    def status(self) -> ExecutorStatus:
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
        self._check(body.epoch)
        if self.executor is None:
            return Delivered(done=[])
        return await self.executor.deliver(body)

    def supersede(self, epoch: int) -> None:
        self._check(epoch)
        if self.executor is not None:
            self.executor.supersede("the manager says so")
        self._superseded = True

    def _check(self, epoch: int) -> None:
        if epoch != self._settings.epoch:
            raise Stale(Code.STALE_EPOCH, f"this worker's epoch is {self._settings.epoch}")

    def _phase(self) -> ExecutorPhase:
        if self._superseded:
            return ExecutorPhase.SUPERSEDED
        return ExecutorPhase.FAILED if self.refusal else ExecutorPhase.STARTING
