"""`kill -9` of each process in the middle of a run: the session ends right, nothing is lost."""

import asyncio
import itertools
import os
import signal

import msgspec
import pytest

from contracts.events import RunFinished, RunRetrying
from contracts.reasons import Reason
from contracts.spool import EventReported
from contracts.worker_events import WorkspaceSaved
from tests.fixtures.boxes import Box
from tests.fixtures.deadlines import DEADLINE, eventually
from tests.fixtures.stack import LEASE, EmbeddedStack
from tests.system.conftest import Figures
from tests.system.oracle import examine, log_of
from tests.system.spools import unsent
from tests.system.trees import read_manifest
from tests.system.visitor import Shadow, Visitor
from tests.system.voyages import KEPT, KEPT_CONTENT, Voyage, file_of, under_way, voyage

WITHIN = LEASE + 30.0


async def arrived(
    stack: EmbeddedStack, visitor: Visitor, shadow: Shadow, made: Voyage, *, attempt: int
) -> None:
    """It succeeded, in this attempt and its first worker; each effect happened once."""
    run = await visitor.succeeded(shadow, within=WITHIN)
    assert run.attempt == attempt
    assert made.effects() == ["before", "after"]
    assert await file_of(stack, run.session_id) == KEPT_CONTENT
    epochs = await stack.fetch(
        "SELECT epoch FROM session_workers WHERE session_id = $1", run.session_id
    )
    assert [row["epoch"] for row in epochs] == [1]
    assert [one.event.state for one in shadow.seen if isinstance(one.event, RunFinished)] == [
        "succeeded"
    ]


@pytest.mark.parametrize(
    "name", ["executor-manager", "control-plane", "postgres", "relay", "gateway"]
)
async def test_kill__of_a_service_costs_no_attempt(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures, name: str
) -> None:
    made = voyage(stack, held=True)
    shadow = await visitor.send(made.prompt)
    await under_way(shadow)
    with figures.timed(f"kill -9 {name}: back"):
        former = await stack.kill9(name)
        await stack.back(name, former)
    made.go.touch()
    with figures.timed(f"kill -9 {name}: run over after that"):
        await arrived(stack, visitor, shadow, made, attempt=1)
    await examine(stack, visitor)


async def test_kill__of_the_agent_is_a_retry_that_goes_on(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    made = voyage(stack, held=True)
    shadow = await visitor.send(made.prompt)
    await under_way(shadow)
    agents = stack.box(visitor.session_of(shadow)).agents()
    assert agents
    for agent in agents:
        agent.send(signal.SIGKILL)
    made.go.touch()
    with figures.timed("kill -9 agent: run over"):
        await arrived(stack, visitor, shadow, made, attempt=2)
    retried = (await shadow.kind("run.retrying")).event
    assert isinstance(retried, RunRetrying)
    assert retried.failures == 1
    await examine(stack, visitor)


def events_unsent(box: Box) -> list[EventReported]:
    return [entry for entry in unsent(box) if isinstance(entry, EventReported)]


async def test_kill__of_the_executor_loses_nothing_of_its_spool(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    made = voyage(stack, pieces=300)
    shadow = await visitor.send(made.prompt)
    await under_way(shadow)
    session = visitor.session_of(shadow)
    box = stack.box(session)

    async def many_wait() -> list[EventReported]:
        found = await asyncio.to_thread(events_unsent, box)
        return found if len(found) >= 20 else []

    with stack.frozen("control-plane"):
        await eventually(many_wait, "the spool does not fill")
        executor = box.executor()
        assert executor is not None
        executor.send(signal.SIGKILL)
        assert await executor.gone(within=DEADLINE)
        held = await asyncio.to_thread(events_unsent, box)
    with figures.timed(f"kill -9 executor with {len(held)} events unsent: run over"):
        await arrived(stack, visitor, shadow, made, attempt=2)
    retried = (await shadow.kind("run.retrying")).event
    assert isinstance(retried, RunRetrying)
    assert retried.reason is Reason.EXECUTOR_INTERRUPTED
    log = [row.event for row in await log_of(stack, session) if row.attempt == 1]
    for entry in held:
        event = msgspec.json.decode(entry.event)
        assert log.count(event) == 1, f"not once in the log: {event}"
    await examine(stack, visitor)


async def checkpointed(stack: EmbeddedStack, shadow: Shadow) -> None:
    """With the second tool call's file: what is restored knows of both. A save that is told after
    them may have begun before.
    """
    for count in itertools.count(1):
        saved = (await shadow.kind("workspace.saved", count=count, within=WITHIN)).event
        assert isinstance(saved, WorkspaceSaved)
        (row,) = await stack.fetch(
            "SELECT manifest_key, manifest_sha256 FROM snapshots WHERE id = $1", saved.snapshot_id
        )
        stored = read_manifest(stack, row["manifest_key"], row["manifest_sha256"])
        if os.fsencode(KEPT) in stored.items:
            return


async def test_frozen_executor__is_taken_over_and_not_heard_any_more(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    """Longer than its lease; then it wakes up, with the agent it had, and reports."""
    made = voyage(stack, pieces=100, held=True)
    shadow = await visitor.send(made.prompt)
    await under_way(shadow)
    await checkpointed(stack, shadow)
    box = stack.box(visitor.session_of(shadow))
    former = [one for one in (box.executor(), *box.processes()) if one is not None]
    for one in former:
        one.send(signal.SIGSTOP)
    try:
        with figures.timed("executor frozen: taken over"):
            await shadow.kind("run.claimed", count=2, within=WITHIN)
    finally:
        for one in former:
            one.send(signal.SIGCONT)
    for one in former:
        assert await one.gone(within=DEADLINE), "it was not ended"
    made.go.touch()
    run = await visitor.succeeded(shadow, within=WITHIN)
    assert run.attempt == 2
    assert run.resume == "native"
    assert made.effects() == ["before", "after"]
    assert await file_of(stack, run.session_id) == KEPT_CONTENT
    await examine(stack, visitor)
