"""What the relay is told on its admin socket, and what it tells executors of cut streams."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.egress import EgressHost
from contracts.endpoint import Endpoint
from contracts.wire import Empty, Wire

UpstreamName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]


class Credential(Wire, frozen=True, kw_only=True):
    """Added outside, never inside. The value is the relay's own: a file of this name."""

    name: UpstreamName
    header: str = "authorization"
    prefix: str = "Bearer "


class NamedUpstream(Wire, frozen=True, kw_only=True):
    """Plain HTTP under `/<name>/` on `agent/agent.sock`; everything else is denied."""

    name: UpstreamName
    url: str
    """Where it leads: scheme, host, and a path to put before the request's."""
    methods: list[str]
    paths: list[str]
    """A request's path must be one of these, or lie below one that ends in `/`. Of an index none
    counts: what there is of one is known."""
    credential: Credential | None = None
    as_worker: bool = False
    """The worker's own token is added instead, as to its callbacks: for the control plane alone."""
    index: Literal["", "pypi", "npm"] = ""
    """A package index: links in its answers that lead to the index, or to its file hosts, are made
    to lead back here."""
    file_hosts: list[str] = msgspec.field(default_factory=list[str])
    """Of an index: origins that its links may lead to (`https://files.example.org`); files of the
    index itself are read from below `url`."""


class Tunnels(Wire, frozen=True, kw_only=True):
    """`CONNECT host:port` on `agent/agent.sock`: opaque bytes, to these hosts alone, after a TLS
    client hello for the same name."""

    hosts: list[EgressHost]
    mib_per_hour: int
    connections: int = 64
    """At once."""


class RelayPolicy(Wire, frozen=True, kw_only=True):
    """What one worker's sockets may reach. Everything else is denied."""

    worker_id: UUID
    epoch: int
    control_dir: str
    """Holds `relay.sock`, bound by the relay: this worker's callbacks and object URLs only."""
    token: str
    """Added to its callbacks outside; never written to a place that a session can read."""
    agent_dir: str = ""
    """Holds `agent.sock`, bound by the relay; empty: the agent has no way out at all."""
    upstreams: list[NamedUpstream] = msgspec.field(default_factory=list[NamedUpstream])
    tunnels: Tunnels | None = None


class RelayRoutes(Wire, frozen=True, kw_only=True):
    control_plane_url: str
    object_store_url: str


class RelayWorkers(Wire, frozen=True, kw_only=True):
    boot: str
    """Changes when the relay was restarted: every policy must be pushed again."""
    routes: RelayRoutes | None
    workers: list[UUID]


RELAY_ROUTES = Endpoint(
    "/routes", RelayRoutes, RelayWorkers, method="PUT", idempotent=True, deadline=3.0
)


RELAY_PUT = Endpoint(
    "/workers/{worker_id}", RelayPolicy, Empty, method="PUT", idempotent=True, deadline=5.0
)


RELAY_DELETE = Endpoint(
    "/workers/{worker_id}", Empty, Empty, method="DELETE", idempotent=True, deadline=5.0
)


RELAY_LIST = Endpoint("/workers", Empty, RelayWorkers, method="GET", idempotent=True, deadline=3.0)


# --- executor → relay (control/relay.sock) ---------------------------------------------------


class AskStreams(Wire, frozen=True, kw_only=True):
    after: int = 0
    """Tell only cuts with a higher number."""


class StreamCut(Wire, frozen=True, kw_only=True):
    """An answer that did not come whole, though whoever asked was still there."""

    number: int
    upstream: str
    path: str
    body_sha256: str
    """Of the request's body: a later complete answer to the same one makes good for it."""
    cut_by: Literal["upstream", "relay"]
    answered_since: bool = False


class StreamRefused(Wire, frozen=True, kw_only=True):
    """An answer that came whole and said no: a status of 400 or more, the relay's own included."""

    number: int
    """Of the same count as the cuts."""
    upstream: str
    path: str
    status: int
    body_sha256: str
    body_bytes: int = 0
    """As far as it had come."""
    answered_since: bool = False
    """Any request to this path of this upstream got a whole answer with success after it."""
    larger_answered: bool = False
    """So did a larger one, before or after it, after the number that was asked for: what an agent
    asks beside its work, as for a title, is smaller than its work."""


class RelayStreams(Wire, frozen=True, kw_only=True):
    boot: str
    """Another one than before: the relay was restarted, and whatever was open then was cut."""
    open: int
    """Requests of this worker's agent that are under way."""
    last: int
    """The highest number so far; answers that came whole and with success have one, too."""
    cuts: list[StreamCut]
    """In order; of very many only the newest are kept, so numbers may be missing at the front."""
    refused: list[StreamRefused] = msgspec.field(default_factory=list[StreamRefused])
    """The same."""


RELAY_STREAMS = Endpoint("/relay/streams", AskStreams, RelayStreams, idempotent=True, deadline=3.0)
