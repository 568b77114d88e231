"""Tickets to a worker's bytes, asked of the control plane in the caller's name."""

from chassis.auth import IDENTITY_HEADER
from chassis.client import ServiceClient
from chassis.errors import BerthError, CallFailed, DependencyUnavailable
from chassis.retelling import retold
from contracts.terminals import CheckTerminal
from contracts.tickets import ASK_TICKET, CHECK_TERMINAL, AskTicket, Ticket
from gateway.auth import Caller


class Tickets:
    def __init__(self, control_plane: ServiceClient) -> None:
        self._control_plane = control_plane

    async def ask(self, asked: AskTicket, caller: Caller) -> Ticket:
        """Raises `BerthError`, and `CallFailed` where there was no answer."""
        try:
            return await self._control_plane.call(ASK_TICKET, asked, headers=_named(caller))
        except CallFailed as failure:
            raise _refusal(failure) from failure

    async def check(self, asked: CheckTerminal, caller: Caller) -> None:
        """Raises as `ask` does."""
        try:
            await self._control_plane.call(CHECK_TERMINAL, asked, headers=_named(caller))
        except CallFailed as failure:
            raise _refusal(failure) from failure


def _named(caller: Caller) -> dict[str, str]:
    return {IDENTITY_HEADER: caller.identity}


def _refusal(failure: CallFailed) -> BerthError | CallFailed:
    if (told := retold(failure.problem)) is not None:
        return told
    if failure.kind != "http":
        return failure
    how = f"see that it accepts the gateway's service key ({failure.reason})"
    return DependencyUnavailable("control_plane", how)
