"""Session workers as the command shows them."""

from uuid import UUID

import msgspec

from cli.client import ApiClient
from cli.output import Output
from cli.pages import MOST, items
from contracts.events import WorkerStep
from contracts.log import LogPage
from contracts.session_workers import SessionWorker, SessionWorkerPage, SessionWorkerSettings


async def page_of(
    client: ApiClient, limit: int, *, session_id: UUID | None, project_id: UUID | None
) -> list[SessionWorker]:
    """The newest, `limit` of them at most; 0: all."""
    found: list[SessionWorker] = []
    async for one in items(
        client,
        "/api/v1/session-workers",
        SessionWorkerPage,
        limit=min(limit or MOST, MOST),
        session_id=session_id,
        project_id=project_id,
    ):
        found.append(one)
        if len(found) == limit:
            break
    return found


async def steps_of(client: ApiClient, worker: SessionWorker) -> list[WorkerStep]:
    """In the order in which they were taken."""
    path = f"/api/v1/sessions/{worker.session_id}/events"
    kind = WorkerStep.__struct_config__.tag
    return [
        one.event
        async for one in items(client, path, LogPage, kind=kind)
        if isinstance(one.event, WorkerStep) and one.event.worker_id == worker.id
    ]


def show_workers(workers: list[SessionWorker], output: Output, *, json: bool) -> None:
    columns = ["session", "worker", "state", "reason", "manager", "created"]
    output.listing(workers, columns, _row, json=json)


def _row(one: SessionWorker) -> list[str]:
    return [
        str(one.session_id),
        str(one.id),
        str(one.state) if one.current else f"{one.state} (former)",
        one.reason,
        str(one.manager_id),
        f"{one.created_at:%F %T}",
    ]


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
