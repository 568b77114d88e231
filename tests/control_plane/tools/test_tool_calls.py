"""What the platform's tools do to runs, tasks and questions."""

import pytest

from chassis.errors import BerthError, Stale
from contracts.errors import Code
from contracts.reasons import Reason
from contracts.spool import RunInterrupted
from contracts.tools import Tool, ToolAnswer
from control_plane.domain import tools
from tests.control_plane.tools.working import Working, patient, working
from tests.fixtures.office import Office


@pytest.fixture
async def at_work(office: Office) -> Working:
    return await working(office)


# --- finish_task ------------------------------------------------------------------------------


async def test_finish_task__ends_in_review_with_its_summary(at_work: Working) -> None:
    said = await at_work.call("finish_task", "all is done")
    assert (said.accepted, said.duplicate) == (True, False)
    assert "End your turn" in said.text
    assert (await at_work.run())["now"] == "running"
    assert (await at_work.task_now())["state"] == "running"
    await at_work.finish()
    assert ((await at_work.run())["now"], (await at_work.run())["reason"]) == (
        "succeeded",
        "completed",
    )
    assert tuple(await at_work.task_now()) == ("review", "all is done", "completed")


async def test_finish_task__of_a_run_that_fails_is_no_review(at_work: Working) -> None:
    await at_work.call("finish_task", "all is done")
    await at_work.finish("failed", Reason.AGENT_ERROR)
    assert tuple(await at_work.task_now()) == ("failed", "", "agent_error")


async def test_summary__is_of_the_last_run(at_work: Working) -> None:
    await at_work.call("finish_task", "all is done")
    await at_work.finish()
    assert (await at_work.task_now())["summary"] == "all is done"
    async with at_work.office.database.unit() as unit:
        await at_work.office.runs.retry(unit, at_work.berth.run_id, by=None)
    assert tuple(await at_work.task_now())[:2] == ("running", "")


# --- block_task -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason", "retryable"),
    [
        ("succeeded", Reason.COMPLETED, False),
        ("failed", Reason.AGENT_ERROR, False),
        ("failed", Reason.MODEL_STREAM_CUT, True),
    ],
)
async def test_block_task__is_the_run_s_end_however_its_turn_ends(
    at_work: Working, *, state: str, reason: Reason, retryable: bool
) -> None:
    await at_work.call("block_task", "no key to the door")
    await at_work.finish(state, reason, retryable=retryable, detail="something else")
    run = await at_work.run()
    assert (run["now"], run["reason"], run["detail"]) == (
        "blocked",
        "blocked_by_agent",
        "no key to the door",
    )
    assert tuple(await at_work.task_now()) == (
        "blocked",
        "no key to the door",
        "blocked_by_agent",
    )


async def test_block_task__of_a_run_that_a_person_canceled(at_work: Working) -> None:
    await at_work.call("block_task", "no key to the door")
    await at_work.office.runs.cancel(at_work.berth.run_id)
    await at_work.finish("canceled", Reason.CANCELED)
    assert (await at_work.run())["now"] == "canceled"


async def test_verdict__what_was_said_last_counts(at_work: Working) -> None:
    await at_work.call("block_task", "no key")
    await at_work.call("finish_task", "found the key")
    await at_work.finish()
    assert tuple(await at_work.task_now()) == ("review", "found the key", "completed")


async def test_verdict__what_is_repeated_is_said_last(at_work: Working) -> None:
    await at_work.call("block_task", "no key")
    await at_work.call("finish_task", "found the key")
    assert (await at_work.call("block_task", "no key")).duplicate
    await at_work.finish()
    assert (await at_work.run())["reason"] == "blocked_by_agent"


async def test_verdict__outlives_a_lost_attempt(at_work: Working) -> None:
    await at_work.call("block_task", "no key")
    await at_work.again()
    assert at_work.berth.attempt == 2
    await at_work.finish()
    assert (await at_work.run())["reason"] == "blocked_by_agent"


# --- once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["finish_task", "block_task", "request_input", "ask_user"])
async def test_call__again_is_the_same_call(at_work: Working, tool: Tool) -> None:
    patient(at_work.office, 0.05)
    first = await at_work.call(tool, "words")
    told = await at_work.kinds()
    again = await at_work.call(tool, "words")
    assert again == ToolAnswer(
        accepted=True, duplicate=True, text=first.text, request_id=first.request_id
    )
    assert await at_work.kinds() == told
    assert told.count("tool.accepted") == 1
    assert told.count("human_loop.requested") == (1 if first.request_id else 0)
    rows = await at_work.office.fetch("SELECT calls FROM tool_calls")
    assert [row["calls"] for row in rows] == [2]
    audited = await at_work.office.fetch("SELECT action, target FROM audit")
    assert [tuple(row) for row in audited] == [(f"tool.{tool}", str(at_work.berth.run_id))]


async def test_call__in_a_later_attempt_asks_nobody_twice(at_work: Working) -> None:
    first = await at_work.call("request_input", "Which colour?")
    await at_work.again()
    again = await at_work.call("request_input", "Which colour?")
    assert (again.duplicate, again.request_id) == (True, first.request_id)


async def test_call__with_a_key_of_its_own(at_work: Working) -> None:
    first = await at_work.call("request_input", "Which colour?", key="a")
    again = await at_work.call("request_input", "Which colour, please?", key="a")
    other = await at_work.call("request_input", "Which colour?", key="b")
    assert again.request_id == first.request_id
    assert other.request_id != first.request_id


async def test_call__of_a_later_run_is_another_one(at_work: Working) -> None:
    first = await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    await at_work.reply(first.request_id)
    at_work.berth = await at_work.office.claim(at_work.host)
    assert not (await at_work.call("request_input", "Which colour?")).duplicate


async def test_call__too_many_different_ones(
    at_work: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "MAX_CALLS", 2)
    await at_work.call("request_input", "one")
    await at_work.call("request_input", "two")
    with pytest.raises(BerthError, match="2 different things"):
        await at_work.call("request_input", "three")
    assert (await at_work.call("request_input", "two")).duplicate


async def test_call__with_what_postgres_cannot_hold(at_work: Working) -> None:
    await at_work.call("request_input", "a\0b", "c\0", key="k\0")
    assert await at_work.office.value("SELECT words FROM tool_calls") == "a\ufffdb"


# --- who may ----------------------------------------------------------------------------------


async def test_call__of_a_superseded_worker(at_work: Working) -> None:
    former = at_work.caller
    await at_work.again()
    with pytest.raises(Stale) as caught:
        await at_work.office.tools.call(former, tools.call("finish_task", "done", key=None))
    assert caught.value.code is Code.STALE_EPOCH
    assert await at_work.office.value("SELECT count(*) FROM tool_calls") == 0


async def test_call__without_a_live_run(at_work: Working) -> None:
    await at_work.finish()
    with pytest.raises(Stale) as caught:
        await at_work.call("finish_task", "done")
    assert caught.value.code is Code.ALREADY_FINISHED


async def test_call__between_two_attempts(at_work: Working) -> None:
    interrupted = RunInterrupted(
        **at_work.berth._next(),
        run_id=at_work.berth.run_id,
        attempt=at_work.berth.attempt,
        reason=Reason.EXECUTOR_INTERRUPTED,
    )
    await at_work.office.report(at_work.berth, interrupted)
    with pytest.raises(Stale):
        await at_work.call("finish_task", "done")


async def test_call__of_a_run_that_is_being_canceled(at_work: Working) -> None:
    await at_work.office.runs.cancel(at_work.berth.run_id)
    with pytest.raises(Stale, match="canceled"):
        await at_work.call("request_input", "Which colour?")


# --- what is told -----------------------------------------------------------------------------


async def test_events__nothing_follows_the_run_s_end(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    await at_work.reply(said.request_id)
    kinds = await at_work.office.kinds(at_work.berth.run_id)
    assert kinds[-1] == "run.closed"
    assert [kind for kind in kinds if kind.startswith(("tool.", "human_loop."))] == [
        "tool.accepted",
        "human_loop.requested",
    ]
    after = await at_work.kinds()
    assert after[-3:] == ["human_loop.resolved", "message.user", "run.queued"]
