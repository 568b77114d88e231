"""`/api/v1/runs`: started, read, listed, canceled, tried anew."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from contracts.runs import CreateRun, Run, RunOutput, RunPage, RunState
from contracts.runtime_manifests import AskRestorePlan, RunRestorePlan
from contracts.sessions import Todos
from contracts.usage import RunUsage
from control_plane.domain.access import Action, Principal
from control_plane.routes.answers import Answers
from control_plane.routes.policies import READ, READ_RUN, WRITE, WRITE_RUN
from control_plane.routes.wishes import Cursor, IdempotencyKey, Limit, Prefer, ask_of, window
from control_plane.services.access import Access
from control_plane.services.intake import Intake
from control_plane.services.restore_plans import RestorePlans
from control_plane.services.run_views import RunViews
from control_plane.services.runs import Runs

States = Annotated[list[RunState] | None, QueryParameter(name="state")]


@post(["/api/v1/runs", "/api/v1/runs/start"], opt=WRITE, status_code=202, tags=["runs"])
async def create_run(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[CreateRun],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    intake: NamedDependency[Intake],
    answers: NamedDependency[Answers],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[Any]:
    """A message in the session that is named, else in a new one. Answered as messages are."""
    if data.session_id is None:
        project_id = access.project_for(principal, Action.WRITE, data.project_id)
    else:
        project_id = await access.project_of_session(principal, Action.WRITE, data.session_id)
    ask = ask_of(request, principal, data, idempotency_key)
    done = await intake.start(ask, data, project_id=project_id, by=principal.user_id)
    return await answers.of(done, prefer)


@post("/api/v1/runs/restore-plan", opt=READ, status_code=200, tags=["runs"])
async def plan_restore_of_run(
    *,
    data: JSONBody[AskRestorePlan],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    restore_plans: NamedDependency[RestorePlans],
) -> RunRestorePlan:
    """What the next worker of a session would restore, or that of a new one; nothing is done.

    422 where a required path would be missing, 400 with the path and the rule that it breaks.
    """
    if data.session_id is None:
        project_id = access.project_for(principal, Action.READ, data.project_id)
    else:
        project_id = await access.project_of_session(principal, Action.READ, data.session_id)
    return await restore_plans.compute(data, project_id=project_id)


@get("/api/v1/runs", opt=READ, tags=["runs"])
async def list_runs(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    run_views: NamedDependency[RunViews],
    project_id: FromQuery[UUID | None] = None,
    session_id: FromQuery[UUID | None] = None,
    task_id: FromQuery[UUID | None] = None,
    states: States = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunPage:
    return await run_views.listed(
        projects=access.projects_for(principal, project_id),
        session_id=session_id,
        task_id=task_id,
        states=states or [],
        window=window(limit, cursor),
    )


@get("/api/v1/runs/{run_id:uuid}", opt=READ_RUN, tags=["runs"])
async def get_run(run_id: FromPath[UUID], run_views: NamedDependency[RunViews]) -> Run:
    return await run_views.get(run_id)


@get("/api/v1/runs/{run_id:uuid}/output", opt=READ_RUN, tags=["runs"])
async def get_output(run_id: FromPath[UUID], run_views: NamedDependency[RunViews]) -> RunOutput:
    return await run_views.output(run_id)


@get("/api/v1/runs/{run_id:uuid}/todos", opt=READ_RUN, tags=["runs"])
async def get_todos(run_id: FromPath[UUID], run_views: NamedDependency[RunViews]) -> Todos:
    return await run_views.todos(run_id)


@get("/api/v1/runs/{run_id:uuid}/usage", opt=READ_RUN, tags=["runs"])
async def get_usage(run_id: FromPath[UUID], run_views: NamedDependency[RunViews]) -> RunUsage:
    return await run_views.usage(run_id)


@post(
    ["/api/v1/runs/{run_id:uuid}/cancel", "/api/v1/runs/{run_id:uuid}/stop"],
    opt=WRITE_RUN,
    status_code=202,
    tags=["runs"],
)
async def cancel_run(
    *, run_id: FromPath[UUID], runs: NamedDependency[Runs], run_views: NamedDependency[RunViews]
) -> Run:
    """At once where nothing runs yet; else it is asked of the executor. 409 after the run's end."""
    await runs.cancel(run_id)
    return await run_views.get(run_id)


@post("/api/v1/runs/{run_id:uuid}/retry", opt=WRITE_RUN, status_code=202, tags=["runs"])
async def retry_run(
    *,
    request: Request[Any, Any, Any],
    run_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    intake: NamedDependency[Intake],
    answers: NamedDependency[Answers],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[Any]:
    """A new run with what this one was asked; 409 before it has ended."""
    ask = ask_of(request, principal, None, idempotency_key)
    done = await intake.retry(ask, run_id=run_id, by=principal.user_id)
    return await answers.of(done, prefer)


RUN_ROUTES = [
    create_run,
    plan_restore_of_run,
    list_runs,
    get_run,
    get_output,
    get_todos,
    get_usage,
    cancel_run,
    retry_run,
]
