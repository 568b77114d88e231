"""`session.*`: what a session is called, and where its past comes from."""

from uuid import UUID

from contracts.event import Event


class SessionCreated(Event, frozen=True, kw_only=True, tag="session.created"):
    title: str
    agent: str


class SessionUpdated(Event, frozen=True, kw_only=True, tag="session.updated"):
    title: str
    archived: bool = False


class SessionForked(Event, frozen=True, kw_only=True, tag="session.forked"):
    """In the fork's log: whose files and conversation it goes on with."""

    session_id: UUID
    snapshot_id: UUID
    run_id: UUID | None = None
    by: UUID | None = None


class SessionRolledBack(Event, frozen=True, kw_only=True, tag="session.rolled_back"):
    """What follows goes on from the snapshot; what came after it stays listed."""

    snapshot_id: UUID
    run_id: UUID | None = None
    """The last one that later runs know of."""
    former_head: UUID | None = None
    by: UUID | None = None


class SessionImported(Event, frozen=True, kw_only=True, tag="session.imported"):
    """Its files and the conversation before this come from an archive."""

    session_id: UUID
    """Where it was exported."""
    snapshot_id: UUID
    runs: int = 0
    by: UUID | None = None
