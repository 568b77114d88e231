"""Tickets to a worker's bytes: a gateway asks for one, the worker's manager redeems it."""

from uuid import UUID

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.terminals import CheckTerminal
from contracts.tickets import (
    ASK_TICKET,
    CHECK_TERMINAL,
    REDEEM_TICKET,
    AskTicket,
    Audience,
    Redeemed,
    RedeemTicket,
    Ticket,
)
from contracts.wire import Empty
from control_plane.domain.access import Action, Principal
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import GATEWAY_FOR_PERSON, MANAGER
from control_plane.services.access import Access
from control_plane.services.sensitive import FileCaller
from control_plane.services.tickets import Tickets

ACTIONS: dict[Audience, Action] = {
    "workspace.read": Action.READ,
    "workspace.write": Action.WRITE,
    "worker.logs": Action.WRITE,
    "terminal.read": Action.READ,
    "terminal.write": Action.WRITE,
    "terminal.exec": Action.WRITE,
}


@post(litestar_path(ASK_TICKET), opt=GATEWAY_FOR_PERSON, status_code=200)
async def ask_ticket(
    *,
    data: JSONBody[AskTicket],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tickets: NamedDependency[Tickets],
) -> Ticket:
    project_id = await access.project_of_session(principal, ACTIONS[data.audience], data.session_id)
    opens = access.may(principal, Action.OPEN_SENSITIVE, project_id)
    by = FileCaller(user_id=principal.user_id, project_id=project_id, opens_sensitive=opens)
    return await tickets.issue(data, by=by)


@post(litestar_path(CHECK_TERMINAL), opt=GATEWAY_FOR_PERSON, status_code=200)
async def check_terminal(
    *,
    data: JSONBody[CheckTerminal],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tickets: NamedDependency[Tickets],
) -> Empty:
    action = Action.WRITE if data.writes else Action.READ
    await access.project_of_session(principal, action, data.session_id)
    await tickets.check(data)
    return Empty()


@post(litestar_path(REDEEM_TICKET), opt=MANAGER, status_code=200)
async def redeem_ticket(
    manager_id: FromPath[UUID],
    data: JSONBody[RedeemTicket],
    tickets: NamedDependency[Tickets],
) -> Redeemed:
    return await tickets.redeem(manager_id, data)


TICKET_ROUTES = [ask_ticket, check_terminal, redeem_ticket]
