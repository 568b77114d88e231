"""A project's model upstreams, for its owners; the calls that were made to them."""

from typing import Annotated, Any, get_args
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, put
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter, QueryParameter

from chassis.errors import BerthError
from chassis.problems import handle_exception, known_error
from contracts.errors import Code
from contracts.models import (
    KeyHeader,
    ModelCallPage,
    ModelUpstream,
    ModelUpstreamList,
    PutModelUpstream,
    WireFormat,
)
from control_plane.domain.access import Principal
from control_plane.routes.policies import MANAGE_PROJECT, READ
from control_plane.routes.refusals import with_rule
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.access import Access
from control_plane.services.model_calls import CallState, ModelCalls
from control_plane.services.model_upstreams import ModelUpstreams

UPSTREAMS = "/api/v1/projects/{project_id:uuid}/model-upstreams"

_NAME = "^[a-z][a-z0-9-]{0,31}$"

Name = Annotated[str, msgspec.Meta(pattern=_NAME), PathParameter(pattern=_NAME)]
_CHOICES = {"formats": get_args(WireFormat), "auth": get_args(KeyHeader)}

States = Annotated[list[CallState] | None, QueryParameter(name="state")]


@get(UPSTREAMS, opt=MANAGE_PROJECT, tags=["models"])
async def list_model_upstreams(
    project_id: FromPath[UUID], model_upstreams: NamedDependency[ModelUpstreams]
) -> ModelUpstreamList:
    """In the order in which they were made; keys are never shown."""
    return await model_upstreams.listed(project_id)


def _tell_choice(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """A word that is none of a few is answered with all of them."""
    known = with_rule(known_error(error))
    field = str(known.details.get("field", ""))
    allowed = _CHOICES.get(field.partition("[")[0])
    if allowed is not None and field != "formats":
        expected = f"one of {', '.join(allowed)}"
        known = BerthError(
            Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
        )
    return handle_exception(request, known)


@put(
    f"{UPSTREAMS}/{{name:str}}",
    opt=MANAGE_PROJECT,
    status_code=200,
    tags=["models"],
    exception_handlers={ValidationException: _tell_choice},
)
async def put_model_upstream(
    *,
    project_id: FromPath[UUID],
    name: Name,
    data: JSONBody[PutModelUpstream],
    principal: NamedDependency[Principal],
    model_upstreams: NamedDependency[ModelUpstreams],
) -> ModelUpstream:
    """Makes it or replaces it, for all calls from now on. `key` may be left out where there is
    one and the host stays the same.
    """
    return await model_upstreams.put(project_id, name, data, by=principal.user_id)


@delete(f"{UPSTREAMS}/{{name:str}}", opt=MANAGE_PROJECT, status_code=204, tags=["models"])
async def remove_model_upstream(
    *,
    project_id: FromPath[UUID],
    name: Name,
    principal: NamedDependency[Principal],
    model_upstreams: NamedDependency[ModelUpstreams],
) -> None:
    """Calls that are under way end as they would."""
    await model_upstreams.remove(project_id, name, by=principal.user_id)


@get("/api/v1/model-calls", opt=READ, tags=["models"])
async def list_model_calls(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    model_calls: NamedDependency[ModelCalls],
    project_id: FromQuery[UUID | None] = None,
    session_id: FromQuery[UUID | None] = None,
    run_id: FromQuery[UUID | None] = None,
    states: States = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ModelCallPage:
    return await model_calls.listed(
        projects=access.projects_for(principal, project_id),
        session_id=session_id,
        run_id=run_id,
        states=states or [],
        window=window(limit, cursor),
    )


MODEL_ROUTES = [
    list_model_upstreams,
    put_model_upstream,
    remove_model_upstream,
    list_model_calls,
]
