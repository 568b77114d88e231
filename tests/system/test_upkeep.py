"""What a manager can have done to a workspace between runs: its own client of executors, at a real
executor that a real manager started, beside a real control plane and store.
"""

import urllib.parse
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from chassis.errors import CallFailed
from contracts.executors import ExecutorPhase
from executor_manager.services.executors import Executors
from executor_manager.services.workers import Stage, Worker
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.system.visitor import Visitor, script

MOUNT = "/workspace/.berth/project"


@pytest.fixture
async def executors() -> AsyncGenerator[Executors]:
    executors = Executors()
    yield executors
    await executors.close()


def worker_of(stack: EmbeddedStack, executors: Executors, session: UUID) -> Worker:
    box = stack.box(session)
    worker = Worker(identity=box.record.identity, token="", stage=Stage.LIVE)
    executors.at(worker, box.folder / "control")
    return worker


async def test_upkeep__between_runs_and_not_beside_one(
    stack: EmbeddedStack, visitor: Visitor, executors: Executors
) -> None:
    shadow = await visitor.send(script({"write": {"path": "own.txt", "content": "own"}}))
    run = await visitor.succeeded(shadow)
    session = run.session_id
    worker, workspace = worker_of(stack, executors, session), stack.box(session).workspace

    async def ready() -> bool:
        return (await executors.status(worker)).phase is ExecutorPhase.READY

    await eventually(ready, "the worker is not ready between runs")
    path = urllib.parse.quote("guide.md")
    put = f"/api/v1/projects/{run.project_id}/files/file?path={path}"
    assert (await stack.api.http.put(put, content=b"read me")).status_code in {200, 201}
    laid = await executors.restore(worker)
    assert (laid.mounts, laid.blocked, laid.missing_paths) == ([MOUNT], None, [])
    assert (workspace / ".berth/project/guide.md").read_bytes() == b"read me"
    (workspace / "later.txt").write_text("later")
    saved = await executors.sync(worker)

    async def committed() -> bool:
        query = "SELECT 1 FROM sessions WHERE id = $1 AND head_snapshot_id = $2"
        return bool(await stack.fetch(query, session, saved.head))

    await eventually(committed, "what was saved is not the head")
    assert (await executors.link_agent_data(worker)).head == saved.head
    live = await visitor.send(script({"text": "on"}, {"hang": "deaf"}), session=session)
    await live.kind("message.delta")
    for call in (executors.restore, executors.link_agent_data, executors.sync):
        with pytest.raises(CallFailed) as refused:
            await call(worker)
        assert refused.value.code == "session_busy"
    assert (await executors.validate(worker)).mounts == [MOUNT]
    assert (workspace / ".berth/project/guide.md").read_bytes() == b"read me"
    canceled = await stack.api.http.post(f"/api/v1/runs/{live.run_id}/cancel")
    assert canceled.is_success
    assert await live.closed() == "canceled"
