"""Executors and managers as the control plane meets them: obedient, killed and repeated at will."""

import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chassis.errors import BerthError, Stale
from contracts.commands import (
    AnyCommand,
    CancelRun,
    InterruptRun,
    ParkRun,
    RemoveWorker,
    ReplyToAsk,
    StartRun,
    StopWorker,
    SyncWorker,
)
from contracts.errors import Code
from contracts.managers import PollCommands, WorkerChange
from contracts.reasons import Reason
from contracts.snapshots import SnapshotKind
from contracts.spool import (
    AnyEntry,
    RunParkedReported,
    WorkerStoppedReported,
)
from tests.fixtures.berth import AT, Berth
from tests.fixtures.office import Host, Office


@dataclass
class Executor:
    berth: Berth
    done: set[UUID] = field(default_factory=set)
    run: UUID | None = None
    asks: dict[UUID, UUID | None] = field(default_factory=dict)
    """Open asks of this attempt; the request to take once it was told."""
    gone: bool = False

    def entry(self) -> dict[str, Any]:
        self.berth.seq += 1
        return {"seq": self.berth.seq, "at": AT}


class Fleet:
    """Two hosts with their executors on one office."""

    def __init__(self, office: Office, hosts: list[Host], dice: random.Random) -> None:
        self.office, self.hosts, self.dice = office, hosts, dice
        self.executors: dict[UUID, Executor] = {}

    async def claim(self) -> None:
        host = self.dice.choice(self.hosts)
        for given in await self.office.claim_all(host, free=self.dice.choice([0, 1, 5])):
            if given.fresh_worker:
                head = await self.office.value(
                    "SELECT head_snapshot_id FROM sessions WHERE id = $1", given.worker.session_id
                )
                berth = Berth(given.worker, given.run_id, given.attempt, head=head)
                self.executors[given.worker.worker_id] = Executor(berth)

    async def say(self, executor: Executor, *entries: AnyEntry) -> None:
        """At least once: sometimes the answer is lost and the batch comes again."""
        try:
            answer = await self.office.report(executor.berth, *entries)
            if self.dice.random() < 0.2:
                again = await self.office.report(executor.berth, *entries)
                assert again.acknowledged == answer.acknowledged
        except Stale as error:
            assert error.code is Code.STALE_EPOCH, error
            executor.gone = True
            return
        for refused in answer.refused:
            assert refused.code in {"already_finished", "stale_attempt", "session_busy"}, refused
            executor.run = None

    async def obey(self) -> None:
        """Polls one host's commands and has its executors carry them out."""
        host = self.dice.choice(self.hosts)
        poll = PollCommands(incarnation=host.incarnation)
        found = await self.office.managers.commands(host.id, poll)
        done: list[UUID] = []
        for given in found.commands:
            executor = self.executors.get(given.worker_id)
            if executor is not None and given.command.id not in executor.done:
                await self._carry_out(host, executor, given.command)
                executor.done.add(given.command.id)
            done.append(given.command.id)
        if self.dice.random() < 0.8:
            acknowledged = PollCommands(incarnation=host.incarnation, done=done)
            await self.office.managers.commands(host.id, acknowledged)

    async def _carry_out(  # noqa: C901 # an arm for each command
        self, host: Host, executor: Executor, command: AnyCommand
    ) -> None:
        berth = executor.berth
        match command:
            case StartRun(run=spec):
                berth.run_id, berth.attempt = spec.run_id, spec.attempt
                executor.run, executor.asks = spec.run_id, {}
                await self.say(executor, berth.started())
            case CancelRun(run_id=run_id, attempt=attempt):
                if executor.run == run_id and berth.attempt == attempt:
                    await self._end(executor, "canceled", Reason.CANCELED)
            case ReplyToAsk(ask_id=ask_id, request_id=request_id):
                if ask_id in executor.asks:
                    executor.asks[ask_id] = request_id
            case ParkRun(run_id=run_id, attempt=attempt):
                if executor.run == run_id and berth.attempt == attempt:
                    await self._park(executor)
            case InterruptRun():
                if executor.run is not None:
                    executor.run = None
                    await self.say(executor, berth.interrupted(Reason.DRAINED))
            case StopWorker():
                saved = berth.snapshot()
                stopped = WorkerStoppedReported(**executor.entry(), snapshot_id=saved.snapshot.id)
                await self.say(executor, saved, stopped)
            case SyncWorker():
                await self.say(executor, berth.snapshot(SnapshotKind.CHECKPOINT))
            case RemoveWorker():
                executor.gone = True
                change = WorkerChange(
                    incarnation=host.incarnation, epoch=berth.grant.epoch, change="removed"
                )
                await self.office.workers.change(host.id, berth.grant.worker_id, change)

    async def _park(self, executor: Executor) -> None:
        executor.run = None
        saved = executor.berth.snapshot()
        parked = RunParkedReported(
            **executor.entry(),
            run_id=executor.berth.run_id,
            attempt=executor.berth.attempt,
            snapshot_id=saved.snapshot.id,
        )
        await self.say(executor, saved, parked)

    async def _end(self, executor: Executor, state: str, reason: Reason, **more: object) -> None:
        executor.run, executor.asks = None, {}
        berth = executor.berth
        await self.say(executor, berth.snapshot(), berth.finish(state, reason, **more))

    def busy(self) -> list[Executor]:
        return [e for e in self.executors.values() if e.run is not None and not e.gone]

    async def work(self) -> None:
        """One executor goes a step further."""
        if not self.busy():
            return
        executor = self.dice.choice(self.busy())
        if executor.asks:
            await self._take(executor)
            return
        step = self.dice.random()
        if step < 0.3:
            await self.say(executor, executor.berth.text("word"))
        elif step < 0.5:
            ask = executor.berth.asked(argument=self.dice.choice("ab"))
            executor.asks[ask.ask_id] = None
            await self.say(executor, ask)
        elif step < 0.8:
            await self._end(executor, "succeeded", Reason.COMPLETED)
        elif step < 0.9:
            await self._end(executor, "failed", Reason.AGENT_CRASHED, retryable=True)
        else:
            executor.run = None
            await self.say(executor, executor.berth.interrupted())

    async def _take(self, executor: Executor) -> None:
        for ask_id, request_id in list(executor.asks.items()):
            if request_id is None:
                continue
            try:
                granted = await self.office.take(executor.berth, request_id, ask_id)
                assert granted.option_kind in {"allow_once", "reject_once"}
            except BerthError as error:
                stale = {Code.STALE_EPOCH, Code.STALE_ATTEMPT, Code.ALREADY_FINISHED}
                assert error.code in stale, error
                executor.run = None
            del executor.asks[ask_id]

    async def lose(self) -> None:
        """A host goes silent for longer than a lease: whatever it had is taken back."""
        if not self.busy():
            return
        executor = self.dice.choice(self.busy())
        await self.office.expire(executor.berth)
        await self.office.rescue.reclaim()
        if self.dice.random() < 0.5:
            await self.say(executor, executor.berth.text("late"))
