"""Pages of the log, for programs that read it by calls."""

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import BerthError, NotFound
from contracts.errors import Code
from contracts.events import AnyEvent, RawLogEntry
from contracts.log import RawLogPage
from control_plane.domain import log_cursor
from control_plane.store import events as store
from control_plane.store.database import Connection, Database
from control_plane.store.events import StreamBounds

KINDS = frozenset(str(one.__struct_config__.tag) for one in typing.get_args(AnyEvent))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWindow:
    """Which part of a log: `limit` entries behind `cursor`, of `kinds` (none named: all)."""

    cursor: str | None = None
    limit: int = 100
    kinds: Sequence[str] = ()
    payloads: bool = True


class Events:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_stream(
        self, stream_id: UUID, window: LogWindow, *, unknown: Code = Code.SESSION_NOT_FOUND
    ) -> RawLogPage:
        """Raises `unknown`, `validation_failed` for a kind there is not, and a cursor's errors."""
        async with self._database.reading() as connection:
            bounds = await store.stream(connection, stream_id)
            if bounds is None:
                raise NotFound(unknown, f"there is no stream {stream_id}")
            return await _page(connection, bounds, window, bounds.first_seq, None)

    async def of_run(self, run_id: UUID, window: LogWindow) -> RawLogPage:
        async with self._database.reading() as connection:
            bounds = await store.run_stream(connection, run_id)
            if bounds is None:
                raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
            first = max(bounds.first_seq, bounds.line_no)
            return await _page(connection, bounds, window, first, run_id)

    async def one_of_run(self, run_id: UUID, seq: int) -> RawLogEntry:
        async with self._database.reading() as connection:
            bounds = await store.run_stream(connection, run_id)
            if bounds is None:
                raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
            found = await store.entries(
                connection, bounds.id, seq - 1, run_id=run_id, kinds=None, limit=1
            )
        if not found or found[0].seq != seq:
            raise NotFound(Code.NOT_FOUND, f"there is no event {seq} of run {run_id}")
        return found[0].entry(bounds.id)


async def _page(
    connection: Connection, bounds: StreamBounds, window: LogWindow, first: int, run_id: UUID | None
) -> RawLogPage:
    after = first - 1
    if window.cursor is not None:
        after = log_cursor.position(
            window.cursor, bounds.id, first_seq=bounds.first_seq, last_seq=bounds.last_seq
        )
    found = await store.entries(
        connection,
        bounds.id,
        after,
        run_id=run_id,
        kinds=_known(window.kinds) or None,
        limit=window.limit + 1,
        payloads=window.payloads,
    )
    kept = found[: window.limit]
    more = len(found) > window.limit
    return RawLogPage(
        items=[event.entry(bounds.id) for event in kept],
        next_cursor=log_cursor.cursor(bounds.id, kept[-1].seq) if more else None,
    )


def _known(kinds: Sequence[str]) -> list[str]:
    for kind in kinds:
        if kind not in KINDS:
            raise BerthError(
                Code.VALIDATION,
                f"kind: there is no {kind!r}",
                field="kind",
                expected="one of " + ", ".join(sorted(KINDS)),
            )
    return list(kinds)
