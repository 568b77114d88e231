"""Whoever brings a ticket for a worker of ours: asked of the control plane, once."""

from collections.abc import Set as AbstractSet
from uuid import UUID

from chassis.errors import BerthError, CallFailed, DependencyUnavailable, Stale
from contracts.errors import Code
from contracts.tickets import Audience, Redeemed
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.workers import Workers


async def admit(
    control_plane: ControlPlane, workers: Workers, worker_id: UUID, ticket: str, audience: Audience
) -> None:
    """Spends the ticket. Raises `unauthenticated`, `ticket_invalid`, or Stale `stale_epoch`."""
    await admit_for(control_plane, workers, worker_id, ticket, {audience})


async def admit_for(
    control_plane: ControlPlane,
    workers: Workers,
    worker_id: UUID,
    ticket: str,
    audiences: AbstractSet[Audience],
) -> Audience:
    """As `admit`, for one of several: which it is."""
    return (await admitted(control_plane, workers, worker_id, ticket, audiences)).audience


async def admitted(
    control_plane: ControlPlane,
    workers: Workers,
    worker_id: UUID,
    ticket: str,
    audiences: AbstractSet[Audience],
) -> Redeemed:
    """As `admit_for`, with all that the ticket says."""
    if not ticket:
        raise BerthError(Code.UNAUTHENTICATED, "a ticket is needed")
    try:
        redeemed = await control_plane.redeem(ticket)
    except CallFailed as failure:
        if failure.code == Code.TICKET_INVALID:
            detail = "the ticket was used, ran out, or is for another worker"
            raise BerthError(Code.TICKET_INVALID, detail) from failure
        if failure.code == Code.STALE_INCARNATION:
            how = "ask again: this manager is registering anew"
            raise DependencyUnavailable("executor_manager", how, retry_after=1) from failure
        raise
    if redeemed.worker_id != worker_id or redeemed.audience not in audiences:
        raise BerthError(Code.TICKET_INVALID, "the ticket is for something else")
    worker = workers.get(worker_id)
    if worker is not None and worker.epoch != redeemed.epoch:
        raise Stale(Code.STALE_EPOCH, "the worker was superseded", epoch=redeemed.epoch)
    return redeemed
