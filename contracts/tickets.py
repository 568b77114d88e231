"""Tickets: how bytes of a worker go gateway → owning manager → executor.

The control plane issues one for a caller that may; the manager has it redeemed, once, within its
time. Nothing else lets a gateway reach a worker.
"""

from typing import Literal
from uuid import UUID

import msgspec

from contracts.endpoint import Endpoint
from contracts.terminals import CheckTerminal
from contracts.wire import Empty, Wire

Audience = Literal[
    "workspace.read",
    "workspace.write",
    "worker.logs",
    "terminal.read",
    "terminal.write",
    "terminal.exec",
]

TICKET_HEADER = "x-berth-ticket"
TICKET_SECONDS = 60

MANAGER_WORKER_LOGS = "/internal/v1/workers/{worker_id}/logs"
"""Of a manager: GET with `?bytes=`, and a ticket for `worker.logs`: what a container printed last,
of a worker that has ended too while its container is there."""

MOST_LOG_BYTES = 1024 * 1024


class AskTicket(Wire, frozen=True, kw_only=True):
    """Asked by the gateway, in the name of the caller whose signed identity comes along."""

    session_id: UUID
    audience: Audience
    operation: str = ""
    """What of a workspace's files, for the audit."""
    paths: list[str] = msgspec.field(default_factory=list[str])
    """Which of them, percent-escaped: whether they may be opened is decided first."""
    beneath: bool = False
    """Content of whatever is in them may be given, whatever it is called."""


class Ticket(Wire, frozen=True, kw_only=True):
    ticket: str
    worker_id: UUID
    manager_url: str
    expires_in_seconds: int


class RedeemTicket(Wire, frozen=True, kw_only=True):
    incarnation: int
    ticket: str


class Redeemed(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    epoch: int
    audience: Audience
    withheld: list[str] = msgspec.field(default_factory=list[str])
    """Patterns of names in a workspace that this caller may not open."""


ASK_TICKET = Endpoint("/internal/v1/tickets", AskTicket, Ticket, deadline=5.0)


REDEEM_TICKET = Endpoint(
    "/internal/v1/managers/{manager_id}/tickets/redeem", RedeemTicket, Redeemed, deadline=5.0
)
"""Once: a redemption whose answer was lost is not repeated; the gateway asks for another ticket."""

CHECK_TERMINAL = Endpoint(
    "/internal/v1/tickets/check", CheckTerminal, Empty, idempotent=True, deadline=5.0
)
"""Whether a terminal that is open may stay so; refused as `ASK_TICKET` is, or as `stale_epoch`."""
