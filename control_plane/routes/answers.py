"""How a run is answered: at once with 202, when it has settled, or as a stream of its events."""

from typing import Any
from uuid import UUID

from litestar import Request, Response

from contracts.runs import Run
from control_plane.routes.wishes import replayed_headers, wish_of
from control_plane.services.idempotency import Once
from control_plane.services.intake import Accepted
from control_plane.services.run_views import RunViews


async def answer(
    request: Request[Any, Any, Any], done: Once[Accepted], views: RunViews, prefer: str | None
) -> Response[Any]:
    """200 for a run that settled within the wait, else 202; both say where the run is."""
    wish = wish_of(request.headers.get("accept", ""), prefer)
    run = done.value.run
    headers = {"Location": run_path(run.id), **replayed_headers(replayed=done.replayed)}
    if wish.wait:
        settled = await views.settled(run.id, session_id=run.session_id, within=wish.wait)
        headers["Preference-Applied"] = f"wait={wish.wait:g}"
        if settled is not None:
            return Response[Run](settled, status_code=200, headers=headers)
    return Response[Run](run, status_code=202, headers=headers)


def run_path(run_id: UUID) -> str:
    return f"/api/v1/runs/{run_id}"
