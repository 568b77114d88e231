"""Tells waiting tasks, here and in the other replicas, that something is worth looking at.

A hint, never the truth: whoever waits also polls. Within the process a wake is dispatched at once.
To the others it goes as NOTIFY with ids only, after the commit, one for all that came within a few
milliseconds: NOTIFY inside the writing transaction would serialise commits. One connection, apart
from the pool, listens and notifies; whenever it had to be opened anew, everybody is woken, because
nobody knows what was missed.
"""

import asyncio
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

import asyncpg
import msgspec

from chassis.logs import get_logger
from control_plane.store.database import Wakes
from control_plane.store.notices import CHANNEL, Line, open_line

Topic = UUID | Literal["queue", "outbox"]
"""A stream's id, a manager's id, or one of the two that have none."""

COALESCE_SECONDS = 0.004
IDS_PER_NOTICE = 150
"""A NOTIFY carries less than 8,000 bytes; an id takes 39."""

KEEPALIVE_SECONDS = 30.0
BACKOFF_SECONDS = (0.05, 0.2, 1.0, 2.0)
CLOSING_SECONDS = 1.0

_BROKEN = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_log = get_logger()


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one NOTIFY carries."""

    streams: tuple[UUID, ...] = ()
    managers: tuple[UUID, ...] = ()
    queue: bool = False
    outbox: bool = False


class Subscription:
    """Remembers one wake until it is waited for: none between a check and the wait is lost."""

    def __init__(self, wakeups: "Wakeups", topic: Topic) -> None:
        self._wakeups = wakeups
        self._topic: Topic = topic
        self._woken = asyncio.Event()

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 # a poll: its end is no error
        """False after `timeout` seconds without a wake."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._wakeups.forget(self._topic, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Wakeups:
    """A `Waker`, one for each process."""

    def __init__(self, database_url: str, *, application: str = "berth-wakeups") -> None:
        self._url = database_url
        self._application = application
        self._subscriptions: dict[Topic, set[Subscription]] = {}
        self._unsent = Wakes()
        self._something = asyncio.Event()
        self._connected = asyncio.Event()
        self._stopping = False
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Returns at once: without a connection there is still polling."""
        self._task = asyncio.create_task(self._run(), name="wakeups")

    async def stop(self) -> None:
        """Gives what is unsent a moment to leave."""
        if self._task is None:
            return
        self._stopping = True
        self._something.set()
        if self._connected.is_set():
            await asyncio.wait({self._task}, timeout=CLOSING_SECONDS)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def end_waits(self) -> None:
        """The process is about to stop: whoever waits in a call is to answer it now."""
        self._ending = True
        self._wake_all()

    def left(self, deadline: float) -> float:
        """Seconds until a time of the loop's clock; 0 when waits are to end."""
        return 0.0 if self._ending else deadline - asyncio.get_running_loop().time()

    async def connected(self) -> None:
        """Returns when the wakes of other replicas arrive."""
        await self._connected.wait()

    def subscribe(self, topic: Topic) -> Subscription:
        subscription = Subscription(self, topic)
        self._subscriptions.setdefault(topic, set()).add(subscription)
        return subscription

    def forget(self, topic: Topic, subscription: Subscription) -> None:
        subscribed = self._subscriptions.get(topic)
        if subscribed is not None:
            subscribed.discard(subscription)
            if not subscribed:
                del self._subscriptions[topic]

    def publish(self, wakes: Wakes) -> None:
        self._dispatch(wakes.streams, wakes.managers, queue=wakes.queue, outbox=wakes.outbox)
        self._unsent.streams |= wakes.streams
        self._unsent.managers |= wakes.managers
        self._unsent.queue |= wakes.queue
        self._unsent.outbox |= wakes.outbox
        self._something.set()

    def _dispatch(
        self, streams: Iterable[UUID], managers: Iterable[UUID], *, queue: bool, outbox: bool
    ) -> None:
        for topic in (*streams, *managers):
            self._wake(topic)
        if queue:
            self._wake("queue")
        if outbox:
            self._wake("outbox")

    def _wake(self, topic: Topic) -> None:
        for subscription in self._subscriptions.get(topic, ()):
            subscription.wake()

    def _heard(self, payload: str) -> None:
        try:
            notice = msgspec.json.decode(payload, type=Notice)
        except msgspec.MsgspecError:
            _log.warning("notice_unreadable", channel=CHANNEL)
            return
        self._dispatch(notice.streams, notice.managers, queue=notice.queue, outbox=notice.outbox)

    async def _run(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                async with open_line(self._url, self._application, self._heard) as line:
                    failures = 0
                    line.on_close(self._something.set)
                    self._wake_all()
                    self._connected.set()
                    await self._send_while_open(line)
            except _BROKEN as error:
                _log.warning("wakeups_disconnected", reason=str(error) or type(error).__name__)
            except Exception:  # noqa: BLE001 # the top of a loop: it is opened anew
                _log.exception("wakeups_failed")
            finally:
                self._connected.clear()
            if not self._stopping:
                await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1

    def _wake_all(self) -> None:
        for topic in self._subscriptions:
            self._wake(topic)

    async def _send_while_open(self, line: Line) -> None:
        while not line.closed:
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await self._something.wait()
            except TimeoutError:
                await line.probe()
                continue
            await asyncio.sleep(COALESCE_SECONDS)
            self._something.clear()
            unsent, self._unsent = self._unsent, Wakes()
            await line.notify(list(_payloads(unsent)))
            if self._stopping:
                return


def _payloads(wakes: Wakes) -> Iterator[str]:
    ids = [(True, one) for one in wakes.streams] + [(False, one) for one in wakes.managers]
    for start in range(0, max(1, len(ids)), IDS_PER_NOTICE):
        part = ids[start : start + IDS_PER_NOTICE]
        notice = Notice(
            streams=tuple(one for is_stream, one in part if is_stream),
            managers=tuple(one for is_stream, one in part if not is_stream),
            queue=wakes.queue and start == 0,
            outbox=wakes.outbox and start == 0,
        )
        if notice != Notice():
            yield msgspec.json.encode(notice).decode()
