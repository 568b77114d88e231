"""From a started process to a worker that takes runs: restore → link → validate → ready.

Each step is an event with its duration, and a named failure. Whether a restore is needed is decided
by the marker that is written last; a restart in the same epoch finds it, restores nothing, sends
what its predecessor left in the spool and reports that predecessor's attempts as interrupted.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from uuid import UUID

from chassis.failpoints import failpoint
from chassis.logs import get_logger
from chassis.telemetry import span
from contracts.events import WorkerStep, WorkspaceRestored
from contracts.executors import ExecutorPhase
from contracts.snapshots import RestorePlan, RestorePoint, SnapshotKind
from contracts.spool import RunInterrupted
from executor.notes import Restored
from executor.services.former_end import forget_end, read_end
from executor.services.layers import Layering, apart_of
from executor.services.leftovers import end_leftovers
from executor.services.progress import reported
from executor.services.worker import Worker
from executor.threads import in_thread
from executor.workspace.errors import RestoreFailed, WorkspaceError, is_full
from executor.workspace.layers import missing_paths
from executor.workspace.progress import Progress
from executor.workspace.restoring import is_empty, restore, wipe
from snapshots.manifest import Manifest

StepName = Literal["restore", "link", "validate", "ready"]

_log = get_logger()


class ActivationFailed(Exception):
    """`reason` is a stable name; the worker cannot be used."""

    def __init__(self, step: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{step}: {reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Activation:
    def __init__(self, worker: Worker) -> None:
        self._tree = worker.tree
        self._clock = worker.clock
        self._home = worker.settings.home_dir
        self._identity = worker.threads.identity
        self._worker_id = worker.settings.worker_id
        self._control_dir = worker.settings.control_dir
        self._spool = worker.spool
        self._notes = worker.notes
        self._reporter = worker.reporter
        self._saves = worker.saves
        self._agent_data = worker.agent_data
        self._status = worker.status

    async def run(self) -> Restored:
        """Raises `ActivationFailed`, `Superseded`."""
        restored = await in_thread(lambda: self._notes.restored)
        if restored is None:
            restored = await self._prepare()
        else:
            self._saves.apart = apart_of(restored.layered)
            await self._take_over()
        async with self._step("ready"):
            await failpoint("activation.before_ready")
        self._status.enter(ExecutorPhase.READY)
        return restored

    async def _take_over(self) -> None:
        """A restart in the same epoch: nothing is restored, what is in the workspace stays."""
        _log.info("restarted_in_place", spooled=self._spool.pending)
        await in_thread(end_leftovers, self._home, self._identity)
        # before `interrupted` nothing may be missing of what the attempt has done
        await self._spool.drained()
        await self._saves.plan()
        await self._saves.recall_base()
        ended = await in_thread(read_end, self._control_dir)
        for note in self._notes.live:
            await self._reporter.entry(
                RunInterrupted(
                    **self._reporter.stamp(),
                    run_id=note.run_id,
                    attempt=note.attempt,
                    reason=ended.reason,
                    detail=ended.detail,
                )
            )
            await failpoint("activation.after_interrupted")
            self._notes.attempt_over(note)
        await in_thread(forget_end, self._control_dir)
        async with self._step("link"):
            await self._agent_data.link_last()

    async def _prepare(self) -> Restored:
        self._status.enter(ExecutorPhase.RESTORING)
        plan = await self._saves.plan()
        async with self._step("restore"):
            point = await self._restore(plan)
            layered = await Layering(self._tree, self._saves.transfer, plan).apply()
        self._saves.apart = apart_of(layered)
        async with self._step("validate"):
            missing = await self._tree.run(missing_paths, plan.required_paths)
        restored = Restored(
            snapshot_id=point.snapshot_id if point else None,
            type=point.type if point else None,
            missing_paths=missing,
            required_paths=plan.required_paths,
            layered=layered,
        )
        self._notes.restored = restored
        await failpoint("activation.after_restored")
        return restored

    async def _restore(self, plan: RestorePlan) -> RestorePoint | None:
        """The first point that can be restored and whose agent's state is whole."""
        if not self._notes.restoring and not await self._tree.run(is_empty):
            raise RestoreFailed("workspace_not_empty", "and nothing says what is in it")
        self._notes.begin_restore()
        await self._wipe()
        failures: list[str] = []
        full = False
        for number, point in enumerate(plan.points, start=1):
            last = number == len(plan.points)
            passed = [one for one in plan.damaged if one != point.snapshot_id]
            failure = await self._restore_point(point, passed, check_agent=not last)
            if failure is None:
                return point
            full = full or is_full(failure)
            failures.append(str(failure))
            _log.warning(
                "restore_point_failed", snapshot=str(point.snapshot_id), error=failures[-1]
            )
        if plan.points:
            # nothing half-restored stays, whoever looks
            with suppress(OSError):
                await self._wipe()
            reason = "disk_full" if full else "restore_failed"
            raise RestoreFailed(reason, "; ".join(failures))
        await self._link()
        self._saves.dirty = plan.head is not None
        await self._reporter.event(WorkspaceRestored(snapshot_id=None))
        return None

    async def _restore_point(
        self, point: RestorePoint, passed_over: list[UUID], *, check_agent: bool
    ) -> RestoreFailed | OSError | None:
        """None, or why it cannot be used."""
        started = time.monotonic()
        try:
            with span("restore", snapshot=str(point.snapshot_id)):
                manifest = await self._fetch(point)
        except (RestoreFailed, OSError) as error:
            await self._wipe()
            return error
        await self._link()
        if check_agent and point.type is SnapshotKind.CHECKPOINT:
            broken = await self._agent_data.broken()
            if broken is not None:
                # what it has in common with the next one stays
                return RestoreFailed("agent_state_broken", broken)
        self._saves.start_from(point.snapshot_id)
        await self._reporter.event(
            WorkspaceRestored(
                snapshot_id=point.snapshot_id,
                files=manifest.totals.files,
                bytes=manifest.totals.bytes,
                duration_ms=_ms_since(started),
                passed_over=passed_over,
            )
        )
        return None

    async def _fetch(self, point: RestorePoint) -> Manifest:
        progress = Progress("restore")
        async with reported(progress, self._reporter, self._clock):
            return await restore(
                self._tree,
                point,
                self._saves.transfer,
                self._notes.index,
                limits=self._saves.limits,
                reuse=True,
                progress=progress,
            )

    async def _wipe(self) -> None:
        """The index first: it must never speak of a tree that is not there."""
        await in_thread(self._notes.index.forget)
        await self._tree.run(wipe)

    async def _link(self) -> None:
        async with self._step("link"):
            await self._agent_data.link_last()

    @asynccontextmanager
    async def _step(self, name: StepName) -> AsyncGenerator[None]:
        started = time.monotonic()
        try:
            yield
        except (WorkspaceError, OSError) as error:
            if isinstance(error, WorkspaceError):
                reason, detail = error.reason, error.detail
            else:
                reason, detail = "disk_full" if is_full(error) else "disk_error", str(error)
            _log.error("activation_failed", step=name, reason=reason, detail=detail)
            await self._report(name, started, reason)
            raise ActivationFailed(name, reason, detail) from error
        await self._report(name, started, "")

    async def _report(self, name: StepName, started: float, reason: str) -> None:
        await self._reporter.event(
            WorkerStep(
                worker_id=self._worker_id,
                step=name,
                outcome="failed" if reason else "done",
                duration_ms=_ms_since(started),
                reason=reason,
            )
        )


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
