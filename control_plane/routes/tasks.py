"""`/api/v1/tasks`: made, read, listed, changed, run."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from contracts.tasks import CreateTask, PatchTask, RunTask, Task, TaskPage, TaskState
from control_plane.domain.access import Action, Principal
from control_plane.routes.answers import Answers
from control_plane.routes.policies import READ, READ_TASK, WRITE, WRITE_TASK
from control_plane.routes.wishes import (
    Cursor,
    IdempotencyKey,
    Limit,
    Prefer,
    ask_of,
    replayed_headers,
    window,
)
from control_plane.services.access import Access
from control_plane.services.tasks import Tasks

States = Annotated[list[TaskState] | None, QueryParameter(name="state")]


@post("/api/v1/tasks", opt=WRITE, status_code=201, tags=["tasks"])
async def create_task(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[CreateTask],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tasks: NamedDependency[Tasks],
    idempotency_key: IdempotencyKey = None,
) -> Response[Task]:
    project_id = access.project_for(principal, Action.WRITE, data.project_id)
    ask = ask_of(request, principal, data, idempotency_key)
    done = await tasks.create(ask, data, project_id=project_id, by=principal.user_id)
    headers = {
        "Location": f"/api/v1/tasks/{done.value.id}",
        **replayed_headers(replayed=done.replayed),
    }
    return Response(done.value, headers=headers)


@get("/api/v1/tasks", opt=READ, tags=["tasks"])
async def list_tasks(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tasks: NamedDependency[Tasks],
    project_id: FromQuery[UUID | None] = None,
    session_id: FromQuery[UUID | None] = None,
    states: States = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> TaskPage:
    return await tasks.listed(
        projects=access.projects_for(principal, project_id),
        session_id=session_id,
        states=states or [],
        window=window(limit, cursor),
    )


@get("/api/v1/tasks/{task_id:uuid}", opt=READ_TASK, tags=["tasks"])
async def get_task(task_id: FromPath[UUID], tasks: NamedDependency[Tasks]) -> Task:
    return await tasks.get(task_id)


@patch("/api/v1/tasks/{task_id:uuid}", opt=WRITE_TASK, tags=["tasks"])
async def patch_task(
    task_id: FromPath[UUID],
    data: JSONBody[PatchTask],
    project_id_of_path: NamedDependency[UUID],
    tasks: NamedDependency[Tasks],
) -> Task:
    return await tasks.patch(task_id, data, project_id=project_id_of_path)


@post("/api/v1/tasks/{task_id:uuid}/run", opt=WRITE_TASK, status_code=202, tags=["tasks"])
async def run_task(
    *,
    request: Request[Any, Any, Any],
    task_id: FromPath[UUID],
    data: JSONBody[RunTask],
    principal: NamedDependency[Principal],
    tasks: NamedDependency[Tasks],
    answers: NamedDependency[Answers],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[Any]:
    """Answered as messages are; 409 names what it depends on that is not done."""
    ask = ask_of(request, principal, data, idempotency_key)
    done = await tasks.run(ask, task_id, data, by=principal.user_id)
    return await answers.of(done, prefer)


TASK_ROUTES = [create_task, list_tasks, get_task, patch_task, run_task]
