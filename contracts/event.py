"""The base of every event."""

from contracts.wire import Wire


class Event(Wire, frozen=True, kw_only=True, tag_field="kind"):
    """Stored and sent as its own JSON object, tagged by `kind`."""
