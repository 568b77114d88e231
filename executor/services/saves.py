"""The workspace's saves: one at a time, each with the head as its parent.

The control plane owns the head. Here it is known from the restore plan, and moves with every
acknowledged snapshot that is put into the spool; when one is refused there, it is asked for again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec

from chassis.clock import Clock
from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.snapshots import RESTORE, AskRestore, RestorePlan, SnapshotKind
from contracts.spool import SnapshotCommitted
from executor.notes import Notes
from executor.relay import Relay
from executor.reporter import Reporter, RunReporter
from executor.services.checkpoints import Begin, Checkpoints
from executor.services.holding import NOBODY, Beside, held
from executor.services.progress import reported
from executor.threads import in_thread
from executor.workspace.errors import WorkspaceError
from executor.workspace.index import IndexUnusable
from executor.workspace.progress import Progress
from executor.workspace.saving import Asked, Saved, save
from executor.workspace.transfer import Superseded, Transfer
from executor.workspace.tree import Tree
from snapshots.manifest import Limits
from snapshots.model import Skipped

SKIPPED_SHOWN = 10
NAME_SHOWN = 200


class Saves:
    """`dirty`: something may have been written since the head. It errs on the side of true."""

    def __init__(
        self,
        tree: Tree,
        relay: Relay,
        notes: Notes,
        reporter: Reporter,
        *,
        epoch: int,
        limits: Limits,
        checkpoint_interval: float,
        clock: Clock,
    ) -> None:
        self.limits = limits
        self.transfer = Transfer(relay, epoch=epoch)
        self.checkpoints = Checkpoints(self._checkpoint, interval=checkpoint_interval, clock=clock)
        self.dirty = True
        self._touches = self._covered = 0
        self.beside: Beside = NOBODY
        """Who else writes into the workspace: stands still while it is read."""
        self.apart: frozenset[bytes] = frozenset()
        """What no snapshot takes: layers that are not the session's own."""
        self.head: UUID | None = None
        self._tree = tree
        self._relay = relay
        self._reporter = reporter
        self._epoch = epoch
        self._clock = clock
        self._one = asyncio.Lock()
        self._index = notes.index
        self._base_id: UUID | None = None
        """Whose tree the index has."""
        self._refused_id: UUID | None = None
        self._head_known = False

    def touched(self) -> None:
        """Something was written that is no run's: a save that is under way may have missed it."""
        self._touches += 1
        self.dirty = True

    async def plan(self) -> RestorePlan:
        """Asked for until it comes; it says what the head is.

        Raises `Superseded`, `WorkspaceError` for another refusal.
        """
        try:
            plan = await self._relay.call_until_answered(RESTORE, AskRestore(epoch=self._epoch))
        except CallFailed as failure:
            if failure.code == Code.STALE_EPOCH:
                raise Superseded(str(failure)) from failure
            raise WorkspaceError("restore_plan_refused", str(failure)) from failure
        self.head = plan.head
        self._head_known = True
        return plan

    def start_from(self, snapshot_id: UUID) -> None:
        """A restored snapshot, of which there is an index: later saves refer to its packs."""
        self._base_id = snapshot_id
        self.dirty = snapshot_id != self.head

    async def recall_base(self) -> None:
        """After a restart in place. Without it the next save reads and uploads everything."""
        self._base_id = await in_thread(lambda: self._index.snapshot_id)

    async def acknowledged(self, run: RunReporter | None) -> UUID:
        """With no process of the agent left. Raises `SaveFailed`, `OSError`, `Superseded`."""
        await self.checkpoints.stop()
        async with self._one:
            saved = await self._save(SnapshotKind.ACKNOWLEDGED, run)
            await self._commit(saved, run)
        if run is not None and saved.skipped:
            await run.warning("files_skipped", _named(saved.skipped))
        return saved.draft.id

    async def if_changed(self) -> UUID | None:
        """The head that covers the workspace as it is, saved now unless it is already."""
        await self.checkpoints.stop()
        async with self._one:
            while (saved := await self._save_unless_covered()) is None:
                if self._head_known:
                    self.dirty = self._touches != self._covered
                    return self.head
                # it was refused while it was compared with
            await self._commit(saved, None)
        return saved.draft.id

    @asynccontextmanager
    async def none(self) -> AsyncGenerator[None]:
        """Within, nothing is saved: what is under way comes first."""
        async with self._one:
            yield

    async def aside(self) -> Saved:
        """A side snapshot; committing it is another call than the spool."""
        await self.checkpoints.stop()
        async with self._one:
            return await self._save(SnapshotKind.SIDE)

    def refused(self, entry: SnapshotCommitted) -> None:
        """The control plane did not take it: its head is not what was believed here."""
        self._head_known = False
        self._refused_id = entry.snapshot.id
        if entry.snapshot.id == self._base_id:
            self.forget_base()
        if entry.snapshot.type is SnapshotKind.ACKNOWLEDGED:
            self.dirty = True

    async def close(self) -> None:
        await self.checkpoints.stop()

    async def _checkpoint(self, begin: Begin) -> None:
        async with self._one:
            run, agent = begin()
            with held(agent) as release:
                saved = await self._save(SnapshotKind.CHECKPOINT, run, on_read=release)
            await self._commit(saved, run)

    def forget_base(self) -> None:
        """Its packs may be nobody's: the next save refers to none of them."""
        self._base_id = None
        self._index.forget()

    async def _save(
        self,
        kind: SnapshotKind,
        run: RunReporter | None = None,
        *,
        on_read: Callable[[], None] | None = None,
    ) -> Saved:
        saved = await self._save_once(kind, run, on_read=on_read)
        assert saved is not None  # noqa: S101  # it was wanted in any case
        return saved

    async def _save_unless_covered(self) -> Saved | None:
        if not self._head_known:
            await self.plan()
        # an empty workspace without a head needs none either
        covered = self._base_id == self.head
        return await self._save_once(SnapshotKind.ACKNOWLEDGED, unless_same=covered)

    async def _save_once(
        self,
        kind: SnapshotKind,
        run: RunReporter | None = None,
        *,
        on_read: Callable[[], None] | None = None,
        unless_same: bool = False,
    ) -> Saved | None:
        # a superseded worker saves aside from what it believed to be the head
        if not self._head_known and kind is not SnapshotKind.SIDE:
            await self.plan()
        asked = Asked(
            kind=kind,
            parent=self.head,
            limits=self.limits,
            quiet=kind is not SnapshotKind.CHECKPOINT and not self.beside.present,
            unless_same=unless_same,
            apart=self.apart,
        )
        self._covered = self._touches
        with held(self.beside) as release:

            def read() -> None:
                release()
                if on_read is not None:
                    on_read()

            progress = Progress("save")
            async with reported(progress, run or self._reporter, self._clock):
                try:
                    return await save(
                        self._tree,
                        self.transfer,
                        self._index,
                        asked,
                        on_read=read,
                        progress=progress,
                    )
                except IndexUnusable:
                    # the next attempt reads everything
                    await in_thread(self.forget_base)
                    raise

    async def _commit(self, saved: Saved, run: RunReporter | None) -> None:
        await failpoint("save.before_commit")
        draft = saved.draft
        entry = SnapshotCommitted(
            **self._reporter.stamp(),
            snapshot=draft,
            run_id=run.run_id if run else None,
            attempt=run.attempt if run else None,
        )
        if run is not None:
            entry = msgspec.structs.replace(entry, trace_id=run.trace_id)
        if draft.type is SnapshotKind.ACKNOWLEDGED:
            # before waiting: from here on the entry is spooled, even if the caller is cancelled
            self.head, self.dirty = draft.id, self._touches != self._covered
        await self._reporter.entry(entry)
        await failpoint("save.after_commit")
        await self._keep_index(draft.id)
        await failpoint("save.after_index")

    async def _keep_index(self, snapshot_id: UUID) -> None:
        try:
            await in_thread(self._index.keep)
        except asyncio.CancelledError:
            # the thread has done it all the same
            self._based_on(snapshot_id)
            raise
        self._based_on(snapshot_id)

    def _based_on(self, snapshot_id: UUID) -> None:
        self._base_id = snapshot_id
        if self._refused_id == snapshot_id:
            self.forget_base()


def _named(skipped: list[Skipped]) -> str:
    first = [
        f"{one.path[:NAME_SHOWN].decode(errors='replace')} ({one.reason})"
        for one in skipped[:SKIPPED_SHOWN]
    ]
    more = ["…"] if len(skipped) > SKIPPED_SHOWN else []
    return f"{len(skipped)} not in the snapshot: {', '.join(first + more)}"
