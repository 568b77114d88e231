"""The sender: takes the spool to the control plane, in order, at least once.

The control plane is authoritative about what it has (`last_source_seq`). A lost answer repeats the
same entries; a gap rewinds to the seq it names. `stale_epoch` is the only answer that stops the
sender; 401, 5xx and silence are waited out. Being without any contact for `outage_grace` is told
once per outage, so that the agent can be ended: nobody can see or stop it any more.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from chassis.clock import Clock
from chassis.errors import CallFailed
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.events import RunLog
from contracts.spool import REPORT, AnyEntry, EventReported, Refused, Report, Reported
from executor.relay import Relay, pause
from executor.segments import SpoolRefused
from executor.spool import Spool

BATCH_ENTRIES = 500
BATCH_BYTES = 1024 * 1024
GATHER_SECONDS = 0.05
PROBE_SECONDS = 15.0
"""With nothing to send, an empty report: a superseded worker must learn it in silence too."""

Batch = list[tuple[int, AnyEntry]]

_log = get_logger()


class SenderHooks(msgspec.Struct, frozen=True, kw_only=True):
    superseded: Callable[[], None]
    refused: Callable[[AnyEntry, str], Awaitable[None]]
    """An entry that the control plane took and did not apply, and its code."""
    outage: Callable[[], None]
    """`outage_grace` has passed since the first call that got no answer."""
    lost: Callable[[str], None]
    """The control plane's count and the spool do not fit together: nothing more can be sent."""


class Sender:
    def __init__(
        self,
        spool: Spool,
        relay: Relay,
        hooks: SenderHooks,
        *,
        epoch: int,
        outage_grace: float,
        clock: Clock,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._spool = spool
        self._relay = relay
        self._hooks = hooks
        self._epoch = epoch
        self._grace = outage_grace
        self._clock = clock
        self._probe = probe_seconds
        self._sent = spool.acked
        self._batch_entries = BATCH_ENTRIES
        self._failures = 0
        self._silent_since: float | None = None
        self._outage_told = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="sender")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def contact(self) -> None:
        """The control plane was heard: here, or through a command that it sent."""
        self._silent_since = None
        self._outage_told = False

    async def _run(self) -> None:
        while True:
            started = self._clock.monotonic()
            try:
                ended = await self._send(await self._gather())
            except SpoolRefused as refused:
                self._hooks.lost(refused.reason)
                return
            except OSError as error:
                # a full disk, for one: what could not be noted as acknowledged is sent again
                _log.error("spool_failed", error=str(error))
                self._failures += 1
                await self._clock.sleep(pause(self._failures))
                self._sent = self._spool.acked
                continue
            if ended:
                return
            # what comes in meanwhile goes into the next batch
            await self._clock.sleep(max(0.0, GATHER_SECONDS - (self._clock.monotonic() - started)))

    async def _gather(self) -> Batch:
        try:
            async with asyncio.timeout(self._probe):
                await self._spool.wait(self._sent)
        except TimeoutError:
            return []
        return await self._spool.read(self._sent, entries=self._batch_entries, size=BATCH_BYTES)

    async def _send(self, batch: Batch) -> bool:
        """True when the sender has nothing more to do, ever."""
        report = Report(epoch=self._epoch, entries=[entry for _, entry in batch])
        try:
            reported = await self._relay.call_once(REPORT, report)
        except CallFailed as failure:
            return await self._failed(failure, batch)
        self.contact()
        self._failures = 0
        self._batch_entries = BATCH_ENTRIES
        if reported.acknowledged > self._spool.last:
            raise SpoolRefused("behind")
        await self._acknowledged(reported, batch)
        return False

    async def _acknowledged(self, reported: Reported, batch: Batch) -> None:
        entries = dict(batch)
        for refused in reported.refused:
            # told first: who waits for the spool to drain then knows of it
            await self._tell_refused(refused, entries)
        await self._spool.acknowledge(reported.acknowledged)
        self._sent = self._spool.acked

    async def _tell_refused(self, refused: Refused, entries: dict[int, AnyEntry]) -> None:
        entry = entries.get(refused.seq)
        _log.warning("entry_refused", seq=refused.seq, code=refused.code)
        if entry is not None:
            await self._hooks.refused(entry, refused.code)

    async def _failed(self, failure: CallFailed, batch: Batch) -> bool:
        if failure.code == Code.STALE_EPOCH:
            self._hooks.superseded()
            return True
        if failure.code == Code.EXPECTED_SEQ and failure.problem is not None:
            self.contact()
            await self._rewind(int(failure.problem.details["seq"]))
            return False
        if failure.status in {400, 413} and batch:
            self.contact()
            return await self._refused_whole(failure, batch)
        self._watch_outage(failure)
        self._failures += 1
        await self._clock.sleep(pause(self._failures))
        return False

    async def _rewind(self, expected: int) -> None:
        _log.warning("rewound", expected=expected, sent=self._sent)
        if not self._spool.acked < expected <= self._spool.last + 1:
            raise SpoolRefused("gap")
        self._sent = expected - 1

    async def _refused_whole(self, failure: CallFailed, batch: Batch) -> bool:
        """Finds the one entry that cannot be taken; an event is then sent as a note that it was
        there, for its seq must not be missing. Anything else is tried again for ever.
        """
        _log.error("batch_refused", entries=len(batch), reason=failure.reason)
        if len(batch) > 1:
            self._batch_entries = max(1, len(batch) // 2)
            return False
        entry = batch[0][1]
        if isinstance(entry, EventReported) and not _is_note(entry):
            return await self._send([(entry.seq, _note(entry, failure))])
        self._failures += 1
        await self._clock.sleep(pause(self._failures))
        return False

    def _watch_outage(self, failure: CallFailed) -> None:
        now = self._clock.monotonic()
        if failure.kind == "http" and failure.status is not None and failure.status < 500:
            self.contact()
            return
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since >= self._grace and not self._outage_told:
            self._outage_told = True
            self._hooks.outage()


_NOTE = "an event could not be taken by the control plane and was left out"


def _note(entry: EventReported, failure: CallFailed) -> EventReported:
    log = RunLog(level="error", text=_NOTE, data={"reason": failure.reason[:500]})
    return msgspec.structs.replace(entry, event=msgspec.Raw(msgspec.json.encode(log)))


def _is_note(entry: EventReported) -> bool:
    return _NOTE.encode() in bytes(entry.event)
