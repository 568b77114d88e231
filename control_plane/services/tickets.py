"""Tickets to a worker's bytes, for whoever may read its session: one use, a minute, one epoch."""

from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec

from chassis.auth import hash_token, new_token
from chassis.errors import BerthError, Stale
from chassis.failpoints import failpoint
from chassis.files.names import for_people
from contracts.errors import Code
from contracts.terminals import CheckTerminal
from contracts.tickets import TICKET_SECONDS, AskTicket, Redeemed, RedeemTicket, Ticket
from contracts.workers import WorkerState
from contracts.workspace_files import OF_NAMES
from control_plane.services.incarnation import require_incarnation
from control_plane.services.sensitive import FileCaller, Opening, SensitiveNames
from control_plane.store import audit
from control_plane.store import tickets as store
from control_plane.store.database import Database, Unit
from control_plane.store.tickets import Target

RUNNING = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.IDLE, WorkerState.STOPPING})
EXPIRED_AT_ONCE = 1000
OF_WORKSPACES = frozenset({"workspace.read", "workspace.write"})
MOST_TOLD = 8
"""Paths in one record of the audit."""


class Tickets:
    def __init__(self, database: Database, sensitive: SensitiveNames) -> None:
        self._database = database
        self._sensitive = sensitive

    async def issue(self, ask: AskTicket, *, by: FileCaller) -> Ticket:
        """For a caller that may; audited. Only its hash is kept.

        Raises Stale `worker_not_running` (for a change `workspace_read_only`), `worker_unreachable`
        where its host takes no calls, and `sensitive_path`.
        """
        opening = Opening(ask.session_id, ask.operation, ask.paths)
        of_names = ask.audience == "workspace.read" and ask.operation in OF_NAMES
        if not of_names:
            await self._sensitive.require(by, opening)
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
                opens_sensitive=by.opens_sensitive and ask.audience in OF_WORKSPACES,
                issued_to=by.user_id,
                seconds=TICKET_SECONDS,
            )
            await audit.record(
                unit,
                target.project_id,
                actor=by.user_id,
                action="ticket.issue",
                target=str(target.worker_id),
                detail=_told(ask, by),
            )
            if not of_names or (ask.beneath and by.opens_sensitive):
                await self._sensitive.record(unit, by, opening, beneath=ask.beneath)
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
        if redeemed.ticket.audience not in OF_WORKSPACES or redeemed.opens_sensitive:
            return redeemed.ticket
        return msgspec.structs.replace(redeemed.ticket, withheld=self._sensitive.patterns)

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
    if found is not None:
        return found
    if ask.audience == "workspace.write":
        detail = f"no worker runs, what is shown is the last snapshot. To change it {how}"
        raise Stale(Code.WORKSPACE_READ_ONLY, detail)
    raise Stale(Code.WORKER_NOT_RUNNING, how)


def _told(ask: AskTicket, by: FileCaller) -> dict[str, Any]:
    detail: dict[str, Any] = {"session_id": str(ask.session_id), "audience": ask.audience}
    if ask.operation:
        detail["operation"] = ask.operation
        detail["opens_sensitive"] = by.opens_sensitive
        detail["paths"] = [for_people(unquote_to_bytes(path)) for path in ask.paths[:MOST_TOLD]]
    return detail
