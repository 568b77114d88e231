"""Usage as clients see it."""

from uuid import UUID

from contracts.events import UsageUpdate
from contracts.wire import Wire


class RunUsage(Wire, frozen=True, kw_only=True):
    """One entry for each source and model, over all attempts. `reported` is what the agent said of
    itself; `metered` and `estimated` are what the model gateway booked. They are never added up.
    """

    run_id: UUID
    entries: list[UsageUpdate]
