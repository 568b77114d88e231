"""Human-loop requests: where they belong."""

from uuid import UUID

from control_plane.store.database import Connection


async def session_of(connection: Connection, request_id: UUID) -> UUID | None:
    return await connection.fetchval(
        "SELECT session_id FROM human_loop_requests WHERE id = $1", request_id
    )
