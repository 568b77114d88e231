"""One attempt of one run, from the agent's start to its one report."""

from uuid import UUID

import msgspec

from chassis.failpoints import failpoint
from chassis.logs import bound, get_logger
from chassis.telemetry import span, use_traceparent
from contracts.commands import RunSpec
from contracts.reasons import Reason
from executor.agents.errors import AgentFailed
from executor.agents.session import AgentSession
from executor.notes import AttemptNote
from executor.reporter import RunReporter
from executor.services.runs.asks import Asks
from executor.services.runs.checkout import Checkout
from executor.services.runs.disk_watch import OVER, over_its_disk, watching
from executor.services.runs.endings import Ended, Ending, EndRequest, stopped
from executor.services.runs.finishing import report, save_run
from executor.services.runs.memory import Memory
from executor.services.runs.model_path import ModelPath
from executor.services.runs.opening import Opening, Prompted
from executor.services.runs.outcome import CANCELED, Finish, failed, of_failure, of_turn
from executor.services.runs.turn import RunTurn
from executor.services.worker import Worker
from executor.workspace.errors import WorkspaceError, is_full
from executor.workspace.layers import missing_paths

_log = get_logger()


class Attempt:
    def __init__(self, worker: Worker, spec: RunSpec) -> None:
        self.note = AttemptNote(spec.run_id, spec.attempt)
        self.request = EndRequest()
        self._worker = worker
        self._spec = spec
        self._asks: Asks | None = None
        self._prompted: tuple[RunReporter, AgentSession] | None = None

    async def drive(self) -> None:
        """Raises `Superseded`. However it ends, no process of the agent is left."""
        spec, attempt = self._spec, str(self._spec.attempt)
        with (
            use_traceparent(spec.traceparent or None),
            span("run", run=str(spec.run_id), attempt=attempt),
            bound(run=str(spec.run_id), attempt=spec.attempt),
        ):
            run = RunReporter(self._worker.spool, spec)
            model_path = ModelPath(self._worker)
            memory = await Memory.of(self._worker.settings.cgroup_dir)
            watch = watching(self._worker, self.request)
            opening = Opening(self._worker, spec, run, model_path)
            try:
                finish = await self._work(run, opening)
            finally:
                await stopped(watch)
                if opening.session is not None:
                    await opening.session.end()
            self._prompted = None
            if over_its_disk(self.request) and finish is None:
                finish = Finish(state="failed", reason=Reason.DISK_FULL, detail=OVER)
            finish = await memory.judged(finish, run)
            await self._conclude(run, await model_path.judged(finish))

    def answered(self, ask_id: UUID, request_id: UUID) -> None:
        if self._asks is not None:
            self._asks.answered(ask_id, request_id)

    def checkpoint(self) -> None:
        """Soon, in the background; before the prompt there is nothing new to save."""
        if self._prompted is not None:
            self._worker.saves.checkpoints.soon(*self._prompted)

    async def _work(self, run: RunReporter, opening: Opening) -> Finish | None:
        """None: it was ended from outside, without a result."""
        try:
            obstacle = await self.request.unless_ended(self._obstacle(run))
            if obstacle is not None:
                return obstacle
            return await self._turn(run, opening)
        except Ended:
            return CANCELED if self.request.ending is Ending.CANCELED else None
        except AgentFailed as failure:
            return of_failure(failure)
        except (WorkspaceError, OSError) as error:
            reason = Reason.DISK_FULL if is_full(error) else Reason.AGENT_START_FAILED
            return failed(reason, str(error))

    async def _obstacle(self, run: RunReporter) -> Finish | None:
        """Looked for each time: what was missing may have been put there meanwhile."""
        async with self._worker.upkeep:
            layered = self._worker.layered
            required = self._worker.required_paths
            missing = await self._worker.tree.run(missing_paths, required)
        reason = layered.blocked
        if reason is not None:
            return failed(reason, layered.detail)
        if missing:
            return failed(Reason.REQUIRED_PATHS_MISSING, ", ".join(missing))
        for warning in layered.warnings:
            await run.warning("layers", warning)
        # told once
        self._worker.layered = msgspec.structs.replace(layered, warnings=[])
        return None

    async def _turn(self, run: RunReporter, opening: Opening) -> Finish | None:
        prompted = await self.request.unless_ended(self._open(run, opening))
        assert opening.session is not None  # noqa: S101  # `open` has returned
        epoch = self._worker.settings.epoch
        self._asks = Asks(run, self._worker.relay, epoch=epoch)
        self._prompted = run, opening.session
        turn = RunTurn(
            self._worker,
            self._spec,
            run,
            session=opening.session,
            asks=self._asks,
            request=self.request,
            prompted=prompted,
        )
        return of_turn(await turn.result())

    async def _open(self, run: RunReporter, opening: Opening) -> Prompted:
        await Checkout(self._worker, self._spec, run).ensure()
        return await opening.open()

    async def _conclude(self, run: RunReporter, finish: Finish | None) -> None:
        _log.info("run_ended", state=finish.state if finish else str(self.request.ending))
        await failpoint("finish.before_save")
        covered = await save_run(
            self._worker.saves,
            run,
            deadline=self._spec.save_deadline_seconds,
            clock=self._worker.clock,
        )
        await failpoint("finish.after_save")
        await report(run, finish, self.request, covered)
        self._worker.notes.attempt_over(self.note)
