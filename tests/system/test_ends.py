"""How runs and workers are ended on purpose: cancels, idle stops, parking."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from contracts.events import HumanLoopRequested, RunFinished, RunStarted
from contracts.human_loop import Replied, Reply
from contracts.reasons import Reason
from contracts.runs import Run
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.system.conftest import Figures
from tests.system.oracle import examine
from tests.system.visitor import Shadow, Visitor, script
from tests.system.voyages import told

SETTINGS = {
    "control-plane": {
        "idle_after_seconds": "1.5",
        "park_after_seconds": "6",
        "cancel_grace_seconds": "2",
        "cancel_deadline_seconds": "120",
    }
}
CANCELED_WITHIN = 60.0
"""Seconds: the graces of the turn and of the processes, and the save; less than the deadline, by
which a run is over whatever became of its processes.
"""


async def streaming(shadow: Shadow) -> None:
    await shadow.until(lambda seen: "#5;" in told(seen))


async def in_a_tool(shadow: Shadow) -> None:
    await shadow.kind("tool.update")


async def asking(shadow: Shadow) -> None:
    await shadow.kind("human_loop.requested")


NUMBERS = "".join(f"#{number}; " for number in range(1, 400))
DAEMON = (
    "(trap '' TERM INT HUP; setsid sh -c 'echo up > up; while :; do sleep 1; done' &)"
    " > /dev/null 2>&1; until [ -s up ]; do sleep 0.05; done"
)
MOMENTS = {
    "streaming": ([{"text": NUMBERS, "chunks": 400, "delay": 0.05}], streaming),
    "in a tool": ([{"shell": "sleep 301 & sleep 302"}], in_a_tool),
    "deaf": ([{"text": NUMBERS[:40]}, {"ignore_sigterm": True}, {"hang": "deaf"}], streaming),
    "asking": ([{"shell": "echo never", "ask": True}], asking),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancel__leaves_no_process(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures, moment: str
) -> None:
    steps: list[dict[str, object]]
    reached: Callable[[Shadow], Awaitable[None]]
    steps, reached = MOMENTS[moment]
    shadow = await visitor.send(script({"text": "on my way\n"}, *steps))
    await reached(shadow)
    box = stack.box(visitor.session_of(shadow))
    assert box.agents()
    with figures.timed(f"cancel while {moment}: over"):
        await stack.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
        assert await shadow.closed(within=CANCELED_WITHIN) == "canceled"
    ended = (await shadow.kind("run.finished")).event
    assert isinstance(ended, RunFinished)
    assert ended.reason is Reason.CANCELED
    left = box.processes()
    assert not left, f"processes of the agent are left: {left}"
    await examine(stack, visitor)


async def test_deaf_agent__is_ended_with_its_daemons_and_what_they_wrote_is_saved(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    """It ignores SIGTERM, and its tool left a daemon that does too, forked twice (faults, C14)."""
    steps: list[dict[str, object]] = [
        {"shell": DAEMON},
        {"write": {"path": "kept.txt", "content": "kept\n"}},
        {"ignore_sigterm": True},
        {"text": NUMBERS[:40]},
        {"hang": "deaf"},
    ]
    shadow = await visitor.send(script(*steps))
    await streaming(shadow)
    session = visitor.session_of(shadow)
    box = stack.box(session)
    assert len(box.processes()) > len(box.agents()), "no daemon"
    with figures.timed("cancel of a deaf agent with a daemon: over"):
        await stack.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
        assert await shadow.closed(within=CANCELED_WITHIN) == "canceled"
    left = box.processes()
    assert not left, f"processes of the agent are left: {left}"
    await gone(stack, session)
    again = await visitor.send("recall NOTHING", session=session)
    await visitor.succeeded(again)
    assert await read(stack, session, "kept.txt") == b"kept\n"
    assert await read(stack, session, "up") == b"up\n"
    await examine(stack, visitor)


async def test_idle_stop__and_a_new_worker_goes_on_natively(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    remember = {"remember": {"key": "NONCE", "value": "n-0815"}}
    write = {"write": {"path": "kept.txt", "content": "kept\n"}}
    shadow = await visitor.send(script(remember, write))
    first = await visitor.succeeded(shadow)
    with figures.timed("idle for 1.5 s: worker removed"):
        await gone(stack, first.session_id)
    again = await visitor.send("recall NONCE", session=first.session_id)
    await visitor.succeeded(again)
    resumed = (await again.kind("run.started")).event
    assert isinstance(resumed, RunStarted)
    assert resumed.resume == "native"
    assert "n-0815" in told(again.seen)
    assert await read(stack, first.session_id, "kept.txt") == b"kept\n"
    epochs = await stack.fetch(
        "SELECT epoch FROM session_workers WHERE session_id = $1 ORDER BY 1", first.session_id
    )
    assert [row["epoch"] for row in epochs] == [1, 2]
    await examine(stack, visitor)


async def read(stack: EmbeddedStack, session: UUID, path: str) -> bytes:
    """Of its worker, or of its last snapshot: here a worker is gone soon after its run."""
    place = f"/api/v1/session-workers/{session}/workspace/file"

    async def content() -> bytes | None:
        answer = await stack.api.http.get(place, params={"path": path})
        return answer.content if answer.status_code == 200 else None

    return await eventually(content, f"{path} cannot be read")


async def gone(stack: EmbeddedStack, session: UUID) -> None:
    async def is_gone() -> bool:
        left = [box for box in stack.boxes() if box.record.session_id == session]
        live = await stack.value(
            "SELECT count(*) FROM session_workers WHERE session_id = $1 AND removed_at IS NULL",
            session,
        )
        return not left and not live

    await eventually(is_gone, "the worker was not stopped and removed")


async def test_parked__goes_on_in_a_new_attempt_and_the_grant_is_used_once(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    ledger = stack.ledger("granted.txt")
    effect = {"effect": {"path": str(ledger), "key": "granted"}, "ask": True}
    shadow = await visitor.send(script({"text": "may I?\n"}, effect, {"text": "I did\n"}))
    asked = (await shadow.kind("human_loop.requested")).event
    assert isinstance(asked, HumanLoopRequested)
    with figures.timed("waiting: parked, its worker gone"):
        await shadow.kind("run.parked")
        await gone(stack, visitor.session_of(shadow))
    reply = Reply(decision="allow")
    path = f"/api/v1/human-loop/{asked.request_id}/reply"
    answers = [stack.api.post(path, Replied, reply) for _ in range(2)]
    told_twice = await asyncio.gather(*answers)
    assert sorted(one.duplicate for one in told_twice) == [False, True]
    run = await visitor.succeeded(shadow)
    assert run.attempt == 2
    assert ledger.read_text().split() == ["granted"]
    await examine(stack, visitor)
