"""The model gateway as administrators see it: upstreams of a project, and the calls that were made.

A session reaches it through its relay, below `/internal/v1/workers/{worker_id}/models`, with the
providers' own paths and bodies: they pass through and are nobody's types here.
"""

import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.runs import Page
from contracts.wire import Body, Wire

WireFormat = Literal["messages", "responses", "chat", "embeddings"]
"""`/v1/messages`, `/v1/responses`, `/v1/chat/completions`, `/v1/embeddings`."""

KeyHeader = Literal["bearer", "x-api-key"]
"""How a key is sent: `Authorization: Bearer`, or Anthropic's header."""

UpstreamName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{1,200}$")]


class PutModelUpstream(Body, frozen=True, kw_only=True):
    url: Annotated[str, msgspec.Meta(max_length=2000)]
    """Scheme, host, and what comes before `/v1`; its host is one that the administrator allows."""
    formats: Annotated[list[WireFormat], msgspec.Meta(min_length=1, max_length=4)]
    models: Annotated[list[ModelName], msgspec.Meta(min_length=1, max_length=200)]
    """The allow-list: each is offered, and nothing else passes."""
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)] | None = None
    """Write-only, encrypted at rest. Left out: the one that is there stays."""
    auth: KeyHeader = "bearer"


class ModelUpstream(Wire, frozen=True, kw_only=True):
    project_id: UUID
    name: str
    url: str
    formats: list[WireFormat]
    models: list[str]
    auth: KeyHeader
    has_key: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime


class ModelUpstreamList(Wire, frozen=True, kw_only=True):
    items: list[ModelUpstream]


class ModelCall(Wire, frozen=True, kw_only=True):
    """One request to a provider, booked at the source."""

    id: UUID
    project_id: UUID
    session_id: UUID
    run_id: UUID | None
    attempt: int | None
    upstream: str
    path: str
    model: str
    state: Literal["open", "completed", "refused", "cut"]
    """`refused`: the provider's answer was an error, or nobody was there to be asked (then there is
    no status); `cut`: it was asked, and no whole answer came through.
    """
    status: int | None
    """The provider's; None: it gave none."""
    source: Literal["metered", "estimated"] | None
    """`metered`: the provider's own numbers of a whole answer. None while it is open, and where
    nothing was used: the answer was an error from its start, or the provider was not asked.
    """
    input_tokens: int
    """Without what was read from a cache. While it is open: estimated from the request."""
    output_tokens: int
    """With the thought ones."""
    cached_tokens: int
    thought_tokens: int
    provider_id: str
    """What the provider called its answer, else the request; empty where it did not say."""
    started_at: datetime.datetime
    ended_at: datetime.datetime | None


class ModelCallPage(Page, frozen=True, kw_only=True):
    items: list[ModelCall]
