"""How a run is answered: at once with 202, when it has settled, or as a stream of its events."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.response import Stream

from control_plane.domain.access import Principal
from control_plane.routes.streams import HEADERS, still_allowed
from control_plane.routes.wishes import replayed_headers, wish_of
from control_plane.services.access import Access
from control_plane.services.idempotency import Once
from control_plane.services.intake import Accepted
from control_plane.services.run_views import RunViews
from control_plane.services.streams import Streams

LOOK_AGAIN_SECONDS = 5
"""For a run that has not settled within the wait."""


@dataclass(frozen=True, slots=True)
class Answers:
    """For one request."""

    request: Request[Any, Any, Any]
    principal: Principal
    access: Access
    views: RunViews
    streams: Streams

    async def of(self, done: Once[Accepted], prefer: str | None) -> Response[Any]:
        """200 for a run that settled within the wait, else 202; both say where the run is, and one
        that was waited for in vain, when to look again.

        A stream begins with the run's first event, also when the request is a repeated one.
        """
        wish = wish_of(self.request.headers.get("accept", ""), prefer)
        run = done.value.run
        headers = {
            "Location": f"/api/v1/runs/{run.id}",
            **replayed_headers(replayed=done.replayed),
        }
        if wish.stream:
            allowed = still_allowed(self.access, self.principal, "run", run.id)
            chunks = await self.streams.open_run(run.id, still_allowed=allowed)
            return Stream(
                chunks,
                media_type="text/event-stream",
                headers={**HEADERS, **headers},
                status_code=200,
            )
        if wish.wait:
            headers["Preference-Applied"] = f"wait={wish.wait:g}"
            settled = await self.views.settled(run.id, session_id=run.session_id, within=wish.wait)
            if settled is not None:
                return Response(settled, status_code=200, headers=headers)
            headers["Retry-After"] = str(LOOK_AGAIN_SECONDS)
        return Response(run, status_code=202, headers=headers)


async def provide_answers(
    request: Request[Any, Any, Any],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    run_views: NamedDependency[RunViews],
    streams: NamedDependency[Streams],
) -> Answers:
    return Answers(request, principal, access, run_views, streams)
