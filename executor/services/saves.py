"""The workspace's saves: one at a time, each with the head as its parent.

The control plane owns the head. Here it is known from the restore plan, and moves with every
acknowledged snapshot that is put into the spool; when one is refused there, it is asked for again.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from chassis.clock import Clock
from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.snapshots import RESTORE, AskRestore, RestorePlan, SnapshotKind
from contracts.spool import SnapshotCommitted
from executor.notes import Notes
from executor.relay import Relay
from executor.reporter import Reporter, RunReporter
from executor.services.holding import Agent, held
from executor.threads import in_thread
from executor.workspace.errors import RestoreFailed, WorkspaceError
from executor.workspace.manifest import Manifest, Skipped, decode
from executor.workspace.saving import Limits, Saved, save
from executor.workspace.transfer import Superseded, Transfer
from executor.workspace.tree import Tree

SKIPPED_SHOWN = 10
NAME_SHOWN = 200

_log = get_logger()


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
        self.dirty = True
        self.head: UUID | None = None
        self._tree = tree
        self._relay = relay
        self._notes = notes
        self._reporter = reporter
        self._epoch = epoch
        self._interval = checkpoint_interval
        self._clock = clock
        self._one = asyncio.Lock()
        self._base: Manifest | None = None
        self._base_id: UUID | None = None
        self._head_known = False
        self._checkpointing: asyncio.Task[None] | None = None
        self._asked: tuple[RunReporter, Agent] | None = None
        """Who asked last, since the last one began to read: by the time it is due, another attempt
        may be under way.
        """
        self._checkpointed_at = clock.monotonic()

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

    def start_from(self, manifest: Manifest, stored: bytes, snapshot_id: UUID) -> None:
        """A restored snapshot: later saves refer to its packs."""
        self._notes.base_manifest = stored
        self._base, self._base_id = manifest, snapshot_id
        self.dirty = snapshot_id != self.head

    async def recall_base(self) -> None:
        """After a restart in place. Without it the next save uploads everything."""
        stored = self._notes.base_manifest
        if stored is None:
            return
        try:
            self._base = await in_thread(
                decode,
                stored,
                max_items=self.limits.max_items,
                max_bytes=self.limits.max_bytes,
            )
        except RestoreFailed as error:
            _log.warning("base_manifest_unusable", reason=str(error))

    async def acknowledged(self, run: RunReporter | None) -> UUID:
        """With no process of the agent left. Raises `SaveFailed`, `OSError`, `Superseded`."""
        await self._stop_checkpoint()
        async with self._one:
            saved = await self._save(SnapshotKind.ACKNOWLEDGED)
            await self._commit(saved, run)
        if run is not None and saved.manifest.skipped:
            await run.warning("files_skipped", _named(saved.manifest.skipped))
        return saved.draft.id

    async def if_changed(self) -> UUID | None:
        """The head that covers the workspace as it is, saved now unless it is already."""
        await self._stop_checkpoint()
        async with self._one:
            before, before_id = self._base, self._base_id
            saved = await self._save(SnapshotKind.ACKNOWLEDGED)
            covered = before_id is not None and before_id == self.head
            if covered and before is not None and before.items == saved.manifest.items:
                return self.head
            if self.head is None and not saved.manifest.items:
                return None
            await self._commit(saved, None)
        return saved.draft.id

    async def aside(self) -> Saved:
        """A side snapshot; committing it is another call than the spool."""
        await self._stop_checkpoint()
        async with self._one:
            return await self._save(SnapshotKind.SIDE)

    def checkpoint_soon(self, run: RunReporter, agent: Agent) -> None:
        """In the background, not before the interval since the last one is over; one at a time.

        The agent stands still while its files are read.
        """
        self._asked = run, agent
        if self._checkpointing is None:
            self._checkpointing = asyncio.create_task(self._checkpoint(), name="checkpoint")

    def refused(self, entry: SnapshotCommitted) -> None:
        """The control plane did not take it: its head is not what was believed here."""
        self._head_known = False
        if entry.snapshot.id == self._base_id:
            # its packs may be nobody's: the next save refers to none of them
            self._base, self._base_id = None, None
            self._notes.forget_base()
        if entry.snapshot.type is SnapshotKind.ACKNOWLEDGED:
            self.dirty = True

    async def close(self) -> None:
        await self._stop_checkpoint()

    async def _checkpoint(self) -> None:
        """Also what is asked for while one is read, which it may have missed."""
        try:
            while self._asked is not None:
                await self._next_checkpoint()
        finally:
            self._checkpointing = None

    async def _next_checkpoint(self) -> None:
        try:
            due = self._checkpointed_at + self._interval
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            async with self._one:
                self._checkpointed_at = self._clock.monotonic()
                assert self._asked is not None  # noqa: S101  # set by who began this
                (run, agent), self._asked = self._asked, None
                with held(agent) as release:
                    saved = await self._save(SnapshotKind.CHECKPOINT, on_read=release)
                await self._commit(saved, run)
        except (WorkspaceError, OSError, Superseded) as error:
            # the next one, or the run's own save, makes up for it
            _log.warning("checkpoint_failed", reason=str(error))

    async def _stop_checkpoint(self) -> None:
        self._asked = None
        if (task := self._checkpointing) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _save(self, kind: SnapshotKind, on_read: Callable[[], None] | None = None) -> Saved:
        # a superseded worker saves aside from what it believed to be the head
        if not self._head_known and kind is not SnapshotKind.SIDE:
            await self.plan()
        return await save(
            self._tree,
            self.transfer,
            kind=kind,
            parent=self.head,
            base=self._base,
            limits=self.limits,
            on_read=on_read,
        )

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
            self.head, self.dirty = draft.id, False
        await self._reporter.entry(entry)
        await failpoint("save.after_commit")
        self._base, self._base_id = saved.manifest, draft.id
        await in_thread(self._remember, saved.stored)

    def _remember(self, stored: bytes) -> None:
        self._notes.base_manifest = stored


def _named(skipped: list[Skipped]) -> str:
    first = [
        f"{one.path[:NAME_SHOWN].decode(errors='replace')} ({one.reason})"
        for one in skipped[:SKIPPED_SHOWN]
    ]
    more = ["…"] if len(skipped) > SKIPPED_SHOWN else []
    return f"{len(skipped)} not in the snapshot: {', '.join(first + more)}"
