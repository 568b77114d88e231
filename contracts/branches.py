"""A session's history as a tree: forks, rollbacks."""

from uuid import UUID

from contracts.wire import Body, Name


class ForkSession(Body, frozen=True, kw_only=True):
    snapshot_id: UUID | None = None
    """Of this session. Left out: its head."""
    title: Name | None = None
    """Left out: as this session's."""


class RollBack(Body, frozen=True, kw_only=True):
    snapshot_id: UUID
    """Of this session."""
    expected_head: UUID | None = None
    """Given: refused if the head is another one by now."""
