"""Session workers as the command shows them."""

from uuid import UUID

import msgspec

from cli.client import ApiClient
from cli.output import Output
from contracts.events import WorkerStep
from contracts.log import LogPage
from contracts.session_workers import SessionWorker, SessionWorkerPage, SessionWorkerSettings

PAGE = 200


async def page_of(
    client: ApiClient, limit: int, *, session_id: UUID | None, project_id: UUID | None
) -> list[SessionWorker]:
    """The newest, `limit` of them at most; 0: all."""
    found: list[SessionWorker] = []
    cursor: str | None = None
    while True:
        size = min(PAGE, limit - len(found)) if limit > 0 else PAGE
        page = await client.get(
            "/api/v1/session-workers",
            SessionWorkerPage,
            limit=size,
            cursor=cursor,
            session_id=session_id,
            project_id=project_id,
        )
        found += page.items
        cursor = page.next_cursor
        if cursor is None or (limit > 0 and len(found) >= limit):
            return found


async def steps_of(client: ApiClient, worker: SessionWorker) -> list[WorkerStep]:
    """In the order in which they were taken."""
    path = f"/api/v1/sessions/{worker.session_id}/events"
    kind = WorkerStep.__struct_config__.tag
    found: list[WorkerStep] = []
    cursor: str | None = None
    while True:
        page = await client.get(path, LogPage, kind=kind, limit=PAGE, cursor=cursor)
        steps = [one.event for one in page.items if isinstance(one.event, WorkerStep)]
        found += [step for step in steps if step.worker_id == worker.id]
        if (cursor := page.next_cursor) is None:
            return found


def show_workers(workers: list[SessionWorker], output: Output) -> None:
    rows = [
        [
            str(one.session_id),
            str(one.id),
            str(one.state) if one.current else f"{one.state} (former)",
            one.reason,
            str(one.manager_id),
            f"{one.created_at:%F %T}",
        ]
        for one in workers
    ]
    output.table(["session", "worker", "state", "reason", "manager", "created"], rows)


def show_worker(
    worker: SessionWorker, settings: SessionWorkerSettings, steps: list[WorkerStep], output: Output
) -> None:
    limits = msgspec.structs.asdict(settings.limits)
    facts = {
        "worker": worker.id,
        "session": worker.session_id,
        "epoch": worker.epoch,
        "manager": worker.manager_id,
        "state": worker.state if worker.current else f"{worker.state} (former)",
        "reason": worker.reason,
        "pinned": "until it has saved" if worker.pinned else "",
        "created": f"{worker.created_at:%F %T}",
        "ended": f"{worker.ended_at:%F %T}" if worker.ended_at else "",
        "limits": " ".join(f"{name}={one}" for name, one in limits.items() if one is not None)
        or "the installation's",
        "in force": "now" if settings.applies == "now" else "for its next container",
        "disk held": worker.disk,
        "keep warm": "yes" if settings.keep_warm else "",
    }
    for name, value in facts.items():
        if value not in (None, ""):
            output.line(f"{name:<11}{value}")
    for step in steps:
        failed = step.outcome == "failed"
        reason = f" {step.reason}" if step.reason else ""
        style = "red" if failed else ""
        output.line(f"  {step.step:<10}{step.duration_ms:>7} ms  {step.outcome}{reason}", style)
