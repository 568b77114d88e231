"""A task from its agent's question to its review, through relay, control plane and command line."""

from typing import Any
from uuid import UUID

from contracts.events import HumanLoopRequested
from contracts.human_loop import Replied, Reply
from contracts.runs import Run, RunPage
from contracts.tasks import CreateTask, RunTask, Task
from contracts.tool_events import ToolResult
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.system.oracle import examine
from tests.system.visitor import Shadow, Visitor, script


def use(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": {"name": tool, "arguments": arguments}}


async def begun(visitor: Visitor, *steps: dict[str, Any]) -> tuple[UUID, Shadow]:
    task = await visitor.api.post("/api/v1/tasks", Task, CreateTask(title="Paint it"))
    body = RunTask(text=script(*steps))
    run = await visitor.api.post(f"/api/v1/tasks/{task.id}/run", Run, body)
    return task.id, visitor.follow(run)


async def task_in(visitor: Visitor, task_id: UUID, state: str) -> Task:
    async def there() -> Task | None:
        task = await visitor.api.get(f"/api/v1/tasks/{task_id}", Task)
        return task if task.state == state else None

    return await eventually(there, f"the task did not become {state}")


async def following(visitor: Visitor, shadow: Shadow) -> Shadow:
    """The session's next run, that nobody sent a message for."""
    session = visitor.session_of(shadow)
    page = await visitor.api.get("/api/v1/runs", RunPage, session_id=session)
    (other,) = [run for run in page.items if run.id != shadow.run_id]
    return visitor.follow(other)


async def test_task__asks_goes_on_with_the_answer_and_is_finished(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    task_id, first = await begun(
        visitor, use("request_input", question="Which colour?", options=["red", "blue"])
    )
    asked = (await first.kind("human_loop.requested")).event
    assert isinstance(asked, HumanLoopRequested)
    await visitor.succeeded(first)
    await task_in(visitor, task_id, "waiting")
    answer = script(use("finish_task", summary="It is blue now"))
    replied = await visitor.api.post(
        f"/api/v1/human-loop/{asked.request_id}/reply", Replied, Reply(text=answer)
    )
    assert replied.request.state == "delivered"
    second = await following(visitor, first)
    run = await visitor.succeeded(second)
    assert run.resume == "native"
    assert (await task_in(visitor, task_id, "review")).summary == "It is blue now"
    await examine(stack, visitor)


async def test_ask_user__is_answered_while_the_agent_waits(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    task_id, shadow = await begun(
        visitor, use("ask_user", question="Which colour?"), use("finish_task", summary="Done")
    )
    asked = (await shadow.kind("human_loop.requested")).event
    assert isinstance(asked, HumanLoopRequested)
    path = f"/api/v1/human-loop/{asked.request_id}/reply"
    await visitor.api.post(path, Replied, Reply(text="blue"))
    await visitor.succeeded(shadow)
    events = [one.event for one in shadow.seen]
    told = [event.output for event in events if isinstance(event, ToolResult)]
    assert told[0] == "The person answered:\nblue"
    assert (await task_in(visitor, task_id, "review")).summary == "Done"
    page = await visitor.api.get("/api/v1/runs", RunPage, session_id=visitor.session_of(shadow))
    assert len(page.items) == 1
