"""`/openapi.json`: the API's description; the gateway leads to the one below `/api`."""

from typing import Any, cast

from litestar import Request, Response, get

from control_plane.routes.policies import ANYONE


@get(["/openapi.json", "/api/v1/openapi.json"], opt=ANYONE, sync_to_thread=False, tags=["system"])
def get_openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    return Response(cast("bytes", request.app.state.openapi), media_type="application/json")


OPENAPI_ROUTES = [get_openapi]
