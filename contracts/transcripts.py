"""What was said in a session, as context for an agent whose own memory of it is missing."""

from typing import Annotated
from uuid import UUID

import msgspec

from contracts.endpoint import Endpoint
from contracts.wire import Wire


class AskTranscript(Wire, frozen=True, kw_only=True):
    epoch: int
    run_id: UUID
    """Of the run that is to begin: what came before it is told, its earlier attempts too."""
    max_bytes: Annotated[int, msgspec.Meta(ge=1000, le=1_000_000)] = 60_000


class Transcript(Wire, frozen=True, kw_only=True):
    text: str
    """Markdown: who said what, in order, and what the agent did; the oldest is left out first."""
    runs: int
    """Told about, at least in part. 0: there is nothing to tell."""
    left_out: int
    """Earlier runs that found no room."""


TRANSCRIPT = Endpoint(
    "/internal/v1/workers/{worker_id}/transcript",
    AskTranscript,
    Transcript,
    idempotent=True,
    deadline=15.0,
)
