"""Tickets to a worker's bytes, for whoever may read its session: one use, a minute, one epoch."""

from uuid import UUID

from chassis.auth import hash_token, new_token
from chassis.errors import BerthError, Stale
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.terminals import CheckTerminal
from contracts.tickets import TICKET_SECONDS, AskTicket, Redeemed, RedeemTicket, Ticket
from contracts.workers import WorkerState
from control_plane.services.incarnation import require_incarnation
from control_plane.store import audit
from control_plane.store import tickets as store
from control_plane.store.database import Database, Unit
from control_plane.store.tickets import Target

RUNNING = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.IDLE, WorkerState.STOPPING})
EXPIRED_AT_ONCE = 1000


class Tickets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, ask: AskTicket, *, by: UUID) -> Ticket:
        """For a caller that may; audited. Only its hash is kept.

        Raises Stale `worker_not_running`, or `worker_unreachable` where its host takes no calls.
        """
        token = new_token("btk_")
        async with self._database.unit() as unit:
            target = await _target(unit, ask)
            if not target.url:
                raise Stale(
                    Code.WORKER_UNREACHABLE,
                    "its executor-manager has no address for it: set BERTH_ADVERTISE_URL there",
                )
            await store.insert(
                unit,
                target,
                session_id=ask.session_id,
                token_hash=hash_token(token),
                audience=ask.audience,
                issued_to=by,
                seconds=TICKET_SECONDS,
            )
            await audit.record(
                unit,
                target.project_id,
                actor=by,
                action="ticket.issue",
                target=str(target.worker_id),
                detail={"session_id": str(ask.session_id), "audience": ask.audience},
            )
        return Ticket(
            ticket=token,
            worker_id=target.worker_id,
            manager_url=target.url,
            expires_in_seconds=TICKET_SECONDS,
        )

    async def redeem(self, manager_id: UUID, ask: RedeemTicket) -> Redeemed:
        """Raises `ticket_invalid`, whatever is wrong with it."""
        async with self._database.unit() as unit:
            await require_incarnation(unit, manager_id, ask.incarnation)
            await failpoint("ticket.redeeming")
            redeemed = await store.redeem(unit, hash_token(ask.ticket), manager_id)
            await failpoint("ticket.redeemed")
        if redeemed is None:
            raise BerthError(Code.TICKET_INVALID, "ask for another one")
        return redeemed

    async def check(self, ask: CheckTerminal) -> None:
        """The worker is still the session's. Raises Stale."""
        async with self._database.reading() as connection:
            target = await store.target(connection, ask.session_id)
        if target is None or target.state not in RUNNING:
            raise Stale(Code.WORKER_NOT_RUNNING, "the session's worker has stopped")
        if target.worker_id != ask.worker_id:
            raise Stale(Code.STALE_EPOCH, "the worker was superseded", epoch=target.epoch)

    async def expire(self) -> int:
        """One pass: how many it deleted, in batches that are transactions of their own."""
        deleted = 0
        while True:
            async with self._database.unit() as unit:
                batch = await store.expire(unit, EXPIRED_AT_ONCE)
            deleted += batch
            if batch < EXPIRED_AT_ONCE:
                return deleted


async def _target(unit: Unit, ask: AskTicket) -> Target:
    """The worker that runs; for its log the newest that is there, also one that never started."""
    how = "send a message: the session's worker is started for its next run"
    if ask.audience == "worker.logs":
        found = await store.newest(unit.connection, ask.session_id)
    else:
        found = await store.target(unit.connection, ask.session_id)
        if found is not None and found.state not in RUNNING:
            found = None
    if found is None:
        raise Stale(Code.WORKER_NOT_RUNNING, how)
    return found
