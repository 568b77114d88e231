"""What an administrator sets takes effect on a manager that runs: no service is started again."""

from pathlib import Path
from uuid import UUID

from contracts.installation import AdminManager, AdminManagerPage, PatchManager
from contracts.quotas import PatchQuota, SubjectLimits
from contracts.runs import Run
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.system.visitor import Shadow, Visitor, script

SETTINGS = {"control-plane": {"idle_after_seconds": "600"}}

PLACE = "/api/v1/admin/managers"
SHORT = script({"text": "hello\n"})


def long(go: Path) -> str:
    """A run that goes on until this file is there."""
    waits = f"until [ -e {go} ]; do sleep 0.05; done; echo done"
    return script({"text": "on my way\n"}, {"shell": waits}, {"text": "done\n"})


async def only_manager(stack: EmbeddedStack) -> AdminManager:
    (one,) = (await stack.api.get(PLACE, AdminManagerPage)).items
    return one


async def order(stack: EmbeddedStack, patch: PatchManager) -> AdminManager:
    now = await only_manager(stack)
    body = PatchManager(
        expected_version=now.version,
        max_workers=patch.max_workers,
        warm=patch.warm,
        draining=patch.draining,
    )
    return await stack.api.patch(f"{PLACE}/{now.id}", AdminManager, body)


async def run_of(visitor: Visitor, shadow: Shadow) -> Run:
    return await visitor.api.get(f"/api/v1/runs/{shadow.run_id}", Run)


async def test_capacity__is_followed_without_a_restart(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    before = stack.pids()
    try:
        now = await order(stack, PatchManager(max_workers=1))
        assert (now.max_workers, now.own_max_workers) == (1, 16)
        go = stack.ledger("capacity.go")
        first = await visitor.send(long(go))
        await first.kind("tool.call")
        second = await visitor.send(SHORT)
        assert (await run_of(visitor, second)).state == "queued"
        await order(stack, PatchManager(max_workers=2))
        assert await second.closed() == "succeeded"
        go.touch()
        assert await first.closed() == "succeeded"
    finally:
        await order(stack, PatchManager(max_workers=None))
    assert stack.pids() == before


async def test_drain__empties_it_the_run_goes_on_when_it_is_called_off(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    before = stack.pids()
    go = stack.ledger("drain.go")
    shadow = await visitor.send(long(go))
    await shadow.kind("tool.call")
    try:
        await order(stack, PatchManager(draining=True))

        async def empty() -> bool:
            return (await only_manager(stack)).workers == 0

        await eventually(empty, "a worker is left")
        assert (await run_of(visitor, shadow)).state == "queued"
        waiting = await visitor.send(SHORT)
        assert (await run_of(visitor, waiting)).state == "queued"
    finally:
        now = await order(stack, PatchManager(draining=False))
    assert not now.draining
    go.touch()
    assert await shadow.closed() == "succeeded"
    assert await waiting.closed() == "succeeded"
    assert (await run_of(visitor, shadow)).failures == 0
    assert stack.pids() == before


async def test_limit_of_workers__lets_idle_ones_go_for_runs_that_wait(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    shadow = await visitor.send(SHORT)
    assert await shadow.closed() == "succeeded"
    project = (await run_of(visitor, shadow)).project_id
    try:
        await limit(stack, project, 1)
        others = [await visitor.send(SHORT) for _ in range(3)]
        told = await others[-1].kind("run.warning")
        assert getattr(told.event, "code", "") == "waits_for_worker_limit"
        for other in others:
            assert await other.closed() == "succeeded"
    finally:
        await limit(stack, project, None)


async def limit(stack: EmbeddedStack, project: UUID, most: int | None) -> None:
    path = f"/api/v1/admin/projects/{project}/limits"
    await stack.api.patch(path, SubjectLimits, PatchQuota(max_workers=most))
