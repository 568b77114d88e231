"""One reader for each watched stream of this process, however many viewers it has.

A topic's reader takes new rows once, encodes each frame once and keeps the newest in a bounded
ring. A viewer is no more than a position. While it lies before the ring, the viewer pages through
the log; from the ring on it is live. Position decides alone, so that between replay and live
nothing can be missed or come twice: rows of a stream become visible in the order of their `seq`,
the ring holds all in (floor, head], and the log holds all that is older. A viewer that was live and
finds its position before the ring was too slow.

Memory is bounded by the ring and by one chunk for each viewer that is sending. Nobody holds a
database connection while waiting.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

import asyncpg

from chassis.failpoints import failpoint
from chassis.logs import get_logger
from control_plane.domain.frames import Chunk, Frame, Ring, frame, join
from control_plane.services.wakeups import Subscription, Wakeups
from control_plane.store import events as store
from control_plane.store.database import Database

DATABASE_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
LONG_SECONDS = 3600.0
CACHED_CHUNKS = 16

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes are in bytes."""

    ring_frames: int = 4096
    ring_size: int = 4 * 1024 * 1024
    ring_easy: int = 256 * 1024
    page_rows: int = 500
    page_size: int = 128 * 1024
    chunk_size: int = 64 * 1024
    readers: int = 3
    """So many topics read at once, and so many viewers replay: the pool is there for others too."""


class FellBehind(Exception):
    """The viewer was live, and the ring has moved on: it should come again with its cursor."""


class Fanout:
    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        *,
        poll_seconds: float,
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._poll_seconds = poll_seconds
        self.limits = limits or Limits()
        self._topics: dict[UUID, Topic] = {}
        self._reading = asyncio.Semaphore(self.limits.readers)
        self._replaying = asyncio.Semaphore(self.limits.readers)
        self._poller: asyncio.Task[None] | None = None
        self.ending = False

    def start(self) -> None:
        self._poller = asyncio.create_task(self._poll_always(), name="fanout poll")

    def end(self) -> None:
        """Every viewer says good-bye; to be called when the server stops."""
        self.ending = True
        for topic in self._topics.values():
            topic.stir()

    async def stop(self) -> None:
        self.end()
        tasks = [topic.reader for topic in self._topics.values()]
        if self._poller is not None:
            tasks.append(self._poller)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def viewers(self) -> int:
        return sum(len(topic.viewers) for topic in self._topics.values())

    def watch(
        self, stream_id: UUID, *, position: int, known: int, run_id: UUID | None = None
    ) -> "Viewer":
        """Follows what stands behind `position`. Up to `known` all was committed before the call.

        Made and left as a context manager; the topic ends with its last viewer.
        """
        topic = self._topics.get(stream_id)
        if topic is None:
            topic = Topic(self, stream_id, known, self._wakeups.subscribe(stream_id))
            self._topics[stream_id] = topic
        viewer = Viewer(self, topic, position=position, known=known, run_id=run_id)
        topic.viewers.add(viewer)
        return viewer

    def leave(self, topic: "Topic", viewer: "Viewer") -> None:
        topic.viewers.discard(viewer)
        if not topic.viewers and self._topics.get(topic.stream_id) is topic:
            del self._topics[topic.stream_id]
            topic.end()

    async def read(self, stream_id: UUID, after: int) -> tuple[list[Frame], bool]:
        """For a topic's reader: new frames, and whether those are all."""
        async with self._reading:
            return await self._page(stream_id, after, None)

    async def replay(
        self, stream_id: UUID, after: int, run_id: UUID | None
    ) -> tuple[list[Frame], bool]:
        async with self._replaying:
            return await self._page(stream_id, after, run_id)

    async def _page(
        self, stream_id: UUID, after: int, run_id: UUID | None
    ) -> tuple[list[Frame], bool]:
        async with self._database.reading() as connection:
            rows, complete = await store.page(
                connection,
                stream_id,
                after,
                run_id=run_id,
                rows=self.limits.page_rows,
                size=self.limits.page_size,
            )
        return [frame(row.entry(stream_id), row.kind) for row in rows], complete

    async def _poll_always(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._poll()
            except DATABASE_AWAY as error:
                _log.warning("fanout_poll_failed", reason=str(error) or type(error).__name__)
            except Exception:  # noqa: BLE001 # the top of a loop: without it wakes are all there is
                _log.exception("fanout_poll_failed")

    async def _poll(self) -> None:
        """One statement for all topics: what a lost wake left unread is found here."""
        if not self._topics:
            return
        async with self._database.reading() as connection:
            last = await store.last_seqs(connection, list(self._topics))
        for stream_id, seq in last.items():
            topic = self._topics.get(stream_id)
            if topic is not None and seq > topic.ring.head:
                topic.wake()


class Topic:
    """A stream that somebody watches."""

    def __init__(
        self, fanout: Fanout, stream_id: UUID, head: int, subscription: Subscription
    ) -> None:
        limits = fanout.limits
        self.stream_id = stream_id
        self.viewers: set[Viewer] = set()
        self.ring = Ring(
            head, count=limits.ring_frames, size=limits.ring_size, easy=limits.ring_easy
        )
        self._fanout = fanout
        self._subscription = subscription
        self._moved = asyncio.Event()
        self._chunks: dict[tuple[int, UUID | None], Chunk] = {}
        self.reader = asyncio.create_task(self._read_always(), name=f"stream {stream_id}")

    def end(self) -> None:
        self._subscription.close()
        self.reader.cancel()

    def wake(self) -> None:
        self._subscription.wake()

    def stir(self) -> None:
        """Wakes all viewers."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def moved(self, seconds: float) -> None:
        """Returns at the next `stir`, or after that time."""
        moved = self._moved
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            return

    def chunk(self, position: int, run_id: UUID | None) -> Chunk:
        """From the ring. Viewers in step share one."""
        known = self._chunks.get((position, run_id))
        if known is not None:
            return known
        frames = self.ring.after(position)
        size = self._fanout.limits.chunk_size
        chunk = join(frames, run_id, position=position, size=size)
        if len(self._chunks) < CACHED_CHUNKS:
            self._chunks[position, run_id] = chunk
        return chunk

    async def _read_always(self) -> None:
        while True:
            try:
                complete = await self._read()
            except DATABASE_AWAY as error:
                _log.warning("stream_read_failed", reason=str(error) or type(error).__name__)
                complete = True
            except Exception:  # noqa: BLE001 # the top of a loop: the poll asks for it again
                _log.exception("stream_read_failed", stream=str(self.stream_id))
                complete = True
            if complete:
                await self._subscription.wait(LONG_SECONDS)

    async def _read(self) -> bool:
        frames, complete = await self._fanout.read(self.stream_id, self.ring.head)
        if frames:
            self._chunks.clear()
            self.ring.append(frames)
            if not self.ring.roomy:
                self.ring.trim(min((v.position for v in self.viewers), default=self.ring.head))
            self.stir()
        return complete


class Viewer:
    """One who watches: a position, and which run it is about."""

    def __init__(
        self, fanout: Fanout, topic: Topic, *, position: int, known: int, run_id: UUID | None
    ) -> None:
        self.position = position
        self._known = known
        self._run_id = run_id
        self._fanout = fanout
        self._topic = topic
        self._live = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._fanout.leave(self._topic, self)

    async def read(self) -> Chunk:
        """What follows, without waiting for more; empty: nothing as yet. Raises `FellBehind`."""
        if self.position < self._topic.ring.floor:
            if self._live:
                raise FellBehind
            chunk = await self._replay()
        else:
            self._live = True
            chunk = self._topic.chunk(self.position, self._run_id)
        self.position = max(self.position, chunk.position)
        return chunk

    async def wait(self, seconds: float) -> None:
        """Until there may be more, or somebody stirs, at most that long."""
        behind = self.position < self._topic.ring.head
        if not behind and not self._fanout.ending and seconds > 0:
            await self._topic.moved(seconds)

    async def _replay(self) -> Chunk:
        # read before the page: up to here all was visible when the page was taken
        seen = max(self._known, self._topic.ring.head)
        frames, complete = await self._fanout.replay(
            self._topic.stream_id, self.position, self._run_id
        )
        await failpoint("stream.replayed")
        chunk = join(frames, self._run_id, position=self.position, size=_size(frames) + 1)
        if not complete:
            return chunk
        return Chunk(chunk.data, max(chunk.position, seen), closed=chunk.closed)


def _size(frames: Sequence[Frame]) -> int:
    return sum(len(one.data) for one in frames)
