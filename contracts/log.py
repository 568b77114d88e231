"""Pages of the event log, oldest first."""

from contracts.events import LogEntry, RawLogEntry
from contracts.runs import Page


class LogPage(Page, frozen=True, kw_only=True):
    """`next_cursor` is None on the last page; to go on later, take the last item's `id`.

    With `include_payload=false` an entry's event is its `kind` alone.
    """

    items: list[LogEntry]


class RawLogPage(Page, frozen=True, kw_only=True):
    """A `LogPage` whose events stay encoded."""

    items: list[RawLogEntry]
