"""Human-loop requests as they are: read and listed."""

from uuid import UUID

from chassis.errors import NotFound
from contracts.errors import Code
from contracts.human_loop import HumanLoopRequest, RequestPage, RequestState
from control_plane.domain.cursors import Window
from control_plane.store import requests as store
from control_plane.store.database import Database
from control_plane.store.requests import RequestFilter

PENDING = (RequestState.PENDING,)
RESOLVED = (RequestState.ANSWERED, RequestState.DELIVERED, RequestState.WITHDRAWN)


class Requests:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, request_id: UUID) -> HumanLoopRequest:
        async with self._database.reading() as connection:
            found = await store.get(connection, request_id)
        if found is None:
            raise NotFound(Code.REQUEST_NOT_FOUND, f"there is no request {request_id}")
        return found

    async def listed(
        self,
        *,
        projects: list[UUID],
        states: tuple[RequestState, ...],
        session_id: UUID | None,
        run_id: UUID | None,
        window: Window,
    ) -> RequestPage:
        wanted = RequestFilter(
            projects=projects, states=states, session_id=session_id, run_id=run_id
        )
        async with self._database.reading() as connection:
            return await store.listed(connection, wanted, window)
