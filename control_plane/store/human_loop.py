"""Human-loop requests: where they belong, and lists of them."""

from uuid import UUID

from contracts.human_loop import RequestState
from control_plane.store.database import Connection


async def session_of(connection: Connection, request_id: UUID) -> UUID | None:
    return await connection.fetchval(
        "SELECT session_id FROM human_loop_requests WHERE id = $1", request_id
    )


async def state_of(connection: Connection, request_id: UUID) -> RequestState:
    query = "SELECT state::text FROM human_loop_requests WHERE id = $1"
    return RequestState(await connection.fetchval(query, request_id))
