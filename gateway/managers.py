"""How a worker's manager is reached, and what callers are told of one that refuses or is away."""

from chassis.errors import BerthError, DependencyUnavailable
from chassis.retelling import problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.tickets import TICKET_HEADER, Ticket


def url_of(ticket: Ticket, place: str, query: str) -> str:
    """`place` leaves `{worker_id}` open."""
    url = ticket.manager_url.rstrip("/") + place.format(worker_id=ticket.worker_id)
    return f"{url}?{query}" if query else url


def headers_of(ticket: Ticket, request_id: str) -> dict[str, str]:
    headers = {TICKET_HEADER: ticket.ticket, "X-Request-ID": request_id}
    if (trace := traceparent()) is not None:
        headers["traceparent"] = trace
    return headers


def refusal(status: int, body: bytes) -> BerthError:
    told = retold(problem_in(body))
    if told is None or told.code is Code.TICKET_INVALID:
        how = f"ask again: it answered {status}"
        return DependencyUnavailable("executor_manager", how, retry_after=1)
    return told


def away() -> DependencyUnavailable:
    how = "see that it runs, and that gateways reach it at its BERTH_ADVERTISE_URL"
    return DependencyUnavailable("executor_manager", how, retry_after=1)
