"""Usage as clients see it."""

from uuid import UUID

from contracts.events import UsageUpdate
from contracts.wire import Wire


class RunUsage(Wire, frozen=True, kw_only=True):
    """One entry for each source and model, over all attempts; `reported` is never added to it."""

    run_id: UUID
    entries: list[UsageUpdate]
