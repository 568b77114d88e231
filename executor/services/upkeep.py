"""What a manager can have done to a workspace between runs: layers anew, links, a look, a save.

Each may be repeated. None is done while a run is live, but the look: a run that comes meanwhile
waits for its end (`Worker.upkeep`).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from chassis.errors import BerthError, Stale
from contracts.errors import Code
from contracts.executors import WorkspaceState
from executor.notes import Layered
from executor.services.layers import Layering, apart_of
from executor.services.runs.runs import Runs
from executor.services.worker import Worker
from executor.threads import in_thread
from executor.workspace.errors import WorkspaceError, is_full
from executor.workspace.layers import missing_paths
from executor.workspace.transfer import Superseded

SECONDS = 290.0
"""For one of them, which keeps runs waiting: less than its caller's deadline."""


class Upkeep:
    """All raise `Stale` `session_busy` with a live run, `conflict` where there is no workspace."""

    def __init__(self, worker: Worker, runs: Runs) -> None:
        self._worker = worker
        self._runs = runs

    async def restore(self) -> WorkspaceState:
        """What the app and the project lay over the workspace is asked for and laid anew. What is
        the session's own stays as it is: only a new worker brings a snapshot.
        """
        async with self._alone(), self._worker.saves.none():
            worker = self._worker
            plan = await worker.saves.plan()
            worker.saves.touched()
            ours = worker.layered.mounts
            laying = Layering(worker.tree, worker.saves.transfer, plan, ours, self._own)
            layered = await laying.apply()
            worker.required_paths = plan.required_paths
            await self._keep(layered)
        return await self.validate()

    async def _own(self, mounts: list[str]) -> None:
        """Whatever comes after it, saves and a restart know whose these are."""
        await self._keep(msgspec.structs.replace(self._worker.layered, mounts=mounts))

    async def _keep(self, layered: Layered) -> None:
        worker = self._worker
        worker.layered = layered
        worker.saves.apart = apart_of(layered)
        restored = await in_thread(lambda: worker.notes.restored)
        if restored is not None:
            worker.notes.restored = msgspec.structs.replace(
                restored, layered=layered, required_paths=worker.required_paths
            )

    async def link_agent_data(self) -> WorkspaceState:
        """The agent's HOME leads to what it remembers in the workspace."""
        async with self._alone():
            await self._worker.agent_data.link_last()
        return await self.validate()

    async def sync(self) -> WorkspaceState:
        """Saved, if the head does not cover it already."""
        async with self._alone():
            await self._worker.saves.if_changed()
        return await self.validate()

    async def validate(self) -> WorkspaceState:
        """As it is; a run may be live."""
        worker = self._worker
        if not worker.status.ready:
            raise Stale(
                Code.CONFLICT,
                f"there is no restored workspace: the worker is {worker.status.phase}",
                retry_after=1.0,
            )
        missing = await worker.tree.run(missing_paths, worker.required_paths)
        layered = worker.layered
        return WorkspaceState(
            head=worker.saves.head,
            missing_paths=missing,
            mounts=layered.mounts,
            blocked=layered.blocked,
            detail=layered.detail,
        )

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        async with self._worker.upkeep:
            if self._worker.notes.stopping or not self._worker.status.ready:
                raise Stale(
                    Code.CONFLICT,
                    f"the worker is stopping, or has no workspace: {self._worker.status.phase}",
                    retry_after=1.0,
                )
            if self._runs.run_id is not None:
                raise Stale(
                    Code.SESSION_BUSY, "not while a run is live", run_id=str(self._runs.run_id)
                )
            try:
                with self._worker.status.in_use():
                    async with asyncio.timeout(SECONDS):
                        yield
            except TimeoutError as error:
                detail = f"it took longer than {SECONDS:g} s"
                raise BerthError(Code.UPSTREAM_TIMEOUT, detail) from error
            except Superseded as error:
                raise Stale(Code.STALE_EPOCH, str(error)) from error
            except WorkspaceError as error:
                detail = f"{error.reason}: {error.detail}"
                raise BerthError(Code.CONFLICT, detail, reason=error.reason) from error
            except OSError as error:
                reason = "disk_full" if is_full(error) else "disk_error"
                raise BerthError(Code.CONFLICT, f"{reason}: {error}", reason=reason) from error
