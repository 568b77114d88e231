"""SSE: replay, then live, then an end that says why.

Every stream begins with `retry:`. It ends after `run.closed` of the run it is about; with `bye`
when the server stops, the reader may no longer read, or the database is away; with `resync` when
the reader was too slow. After `bye` and `resync` the reader comes again with its cursor. A reader
that leaves changes nothing.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from chassis.clock import Clock, SystemClock
from chassis.errors import NotFound
from contracts.errors import Code
from control_plane.domain import log_cursor
from control_plane.domain.frames import Chunk
from control_plane.services.fanout import DATABASE_AWAY, Fanout, FellBehind, Viewer
from control_plane.store import events as store
from control_plane.store.database import Database
from control_plane.store.events import RunBounds, StreamBounds

RETRY = b"retry: 1000\n\n"
"""In milliseconds: what a browser waits before it comes again."""
HEARTBEAT = b"event: heartbeat\ndata: {}\n\n"
BYE = b"event: bye\nretry: 1000\ndata: {}\n\n"

StillAllowed = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one reader gets."""

    stream_id: UUID
    run_id: UUID | None
    position: int
    known: int
    over: bool
    """The run has ended: nothing of it stands behind `known`."""


class _Beats:
    """When a reader is next owed a heartbeat, and when it is next asked whether it still may."""

    def __init__(self, clock: Clock, heartbeat: float, check: float) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._check = check
        self._silent_since = self._checked_at = clock.monotonic()

    def sent(self) -> None:
        self._silent_since = self._clock.monotonic()

    def checked(self) -> None:
        self._checked_at = self._clock.monotonic()

    @property
    def heartbeat_in(self) -> float:
        return self._silent_since + self._heartbeat - self._clock.monotonic()

    @property
    def check_in(self) -> float:
        return self._checked_at + self._check - self._clock.monotonic()


class Streams:
    """Times are in seconds."""

    def __init__(
        self,
        database: Database,
        fanout: Fanout,
        *,
        heartbeat_seconds: float,
        check_seconds: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._fanout = fanout
        self._heartbeat_seconds = heartbeat_seconds
        self._check_seconds = check_seconds
        self._clock = clock or SystemClock()

    async def open(
        self,
        stream_id: UUID,
        *,
        cursor: str | None = None,
        replay_last: int | None = None,
        run_id: UUID | None = None,
        still_allowed: StillAllowed | None = None,
        unknown: Code = Code.SESSION_NOT_FOUND,
    ) -> AsyncIterator[bytes]:
        """A session's or a project's stream, from now on if nothing else is said.

        With `run_id`, that run only, from its first event. `still_allowed` is asked every minute.
        Raises `unknown` where there is no such stream, `bad_cursor`, `cursor_expired`.
        """
        if run_id is not None:
            return await self.open_run(
                run_id, cursor=cursor, replay_last=replay_last, still_allowed=still_allowed
            )
        async with self._database.reading() as connection:
            bounds = await store.stream(connection, stream_id)
        if bounds is None:
            raise NotFound(unknown, f"there is no stream {stream_id}")
        position = await self._position(bounds, bounds.last_seq, cursor, replay_last)
        plan = _Plan(stream_id, None, position, bounds.last_seq, over=False)
        return self._stream(plan, still_allowed)

    async def open_run(
        self,
        run_id: UUID,
        *,
        cursor: str | None = None,
        replay_last: int | None = None,
        still_allowed: StillAllowed | None = None,
    ) -> AsyncIterator[bytes]:
        """Ends by itself with the run. Raises as `open`."""
        async with self._database.reading() as connection:
            bounds = await store.run_stream(connection, run_id)
        if bounds is None:
            raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
        first = max(bounds.line_no, bounds.first_seq) - 1
        position = await self._position(bounds, first, cursor, replay_last, run_id)
        plan = _Plan(bounds.id, run_id, position, bounds.last_seq, over=bounds.over)
        return self._stream(plan, still_allowed)

    async def _position(
        self,
        bounds: StreamBounds | RunBounds,
        default: int,
        cursor: str | None,
        replay_last: int | None,
        run_id: UUID | None = None,
    ) -> int:
        if cursor is not None:
            return log_cursor.position(
                cursor, bounds.id, first_seq=bounds.first_seq, last_seq=bounds.last_seq
            )
        if replay_last is None:
            return default
        async with self._database.reading() as connection:
            before = await store.before_last(connection, bounds.id, replay_last, run_id=run_id)
        return default if before is None else before

    async def _stream(
        self, plan: _Plan, still_allowed: StillAllowed | None
    ) -> AsyncGenerator[bytes]:
        beats = _Beats(self._clock, self._heartbeat_seconds, self._check_seconds)
        yield RETRY
        with self._fanout.watch(
            plan.stream_id, position=plan.position, known=plan.known, run_id=plan.run_id
        ) as viewer:
            while await self._may_go_on(beats, still_allowed):
                try:
                    chunk = await viewer.read()
                except FellBehind:
                    yield _resync(plan, viewer)
                    return
                except DATABASE_AWAY:
                    break
                if chunk.data:
                    yield chunk.data
                    beats.sent()
                if _over(plan, viewer, chunk):
                    return
                if beats.heartbeat_in <= 0:
                    yield HEARTBEAT
                    beats.sent()
                await viewer.wait(min(beats.heartbeat_in, beats.check_in))
            yield BYE

    async def _may_go_on(self, beats: _Beats, still_allowed: StillAllowed | None) -> bool:
        if self._fanout.ending:
            return False
        if beats.check_in > 0:
            return True
        beats.checked()
        try:
            return still_allowed is None or await still_allowed()
        except DATABASE_AWAY:
            return False


def _over(plan: _Plan, viewer: Viewer, chunk: Chunk) -> bool:
    return chunk.closed or (plan.over and not chunk.data and viewer.position >= plan.known)


def _resync(plan: _Plan, viewer: Viewer) -> bytes:
    cursor = log_cursor.cursor(plan.stream_id, viewer.position)
    return b'event: resync\ndata: {"cursor":"%b"}\n\n' % cursor.encode()
