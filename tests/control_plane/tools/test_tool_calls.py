"""What the platform's tools do to runs, tasks and questions."""

import asyncio
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError, Stale
from contracts.errors import Code
from contracts.human_loop import Reply
from contracts.reasons import Reason
from contracts.spool import RunInterrupted
from contracts.tools import Tool, ToolAnswer
from control_plane.domain import tools
from tests.control_plane.tools.working import Working, working
from tests.fixtures.deadlines import eventually
from tests.fixtures.office import Office


@pytest.fixture
async def at_work(office: Office) -> Working:
    return await working(office)


async def pending_request(at_work: Working) -> UUID:
    """Of a call that is about to be made, or was."""

    async def found() -> UUID | None:
        query = "SELECT id FROM human_loop_requests WHERE session_id = $1 AND state = 'pending'"
        return await at_work.office.value(query, at_work.session)

    return await eventually(found, "nothing was asked")


def patient(office: Office, seconds: float) -> None:
    office.tools._ask_seconds = seconds


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


# --- request_input ----------------------------------------------------------------------------


async def test_request_input__waits_as_a_task_and_goes_on_with_the_answer(
    at_work: Working,
) -> None:
    said = await at_work.call("request_input", "Which colour?", "red", "blue")
    assert said.answer is None
    request = await at_work.request(said.request_id)
    assert (request["type"], request["title"], request["now"]) == (
        "question",
        "Which colour?",
        "pending",
    )
    assert (await at_work.run())["now"] == "running"
    await at_work.finish()
    assert (await at_work.run())["now"] == "succeeded"
    assert (await at_work.task_now())["state"] == "waiting"
    assert (await at_work.request(said.request_id))["now"] == "pending"
    assert await at_work.reply(said.request_id, "2") is False
    first, second = await at_work.prompts()
    assert first == "do it"
    assert "Which colour?" in second
    assert second.endswith("The answer:\nblue")
    assert (await at_work.request(said.request_id))["now"] == "delivered"
    assert (await at_work.task_now())["state"] == "running"
    at_work.berth = await at_work.office.claim(at_work.host)
    await at_work.finish()
    assert (await at_work.task_now())["state"] == "review"


async def test_request_input__the_next_turn_takes_over_priority_and_options(
    at_work: Working,
) -> None:
    said = await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    await at_work.reply(said.request_id)
    rows = await at_work.office.fetch(
        "SELECT r.priority, r.max_failures, r.task_id, r.agent, p.options FROM runs r"
        " JOIN run_payloads p ON p.run_id = r.id ORDER BY r.line_no"
    )
    assert tuple(rows[0]) == tuple(rows[1])
    assert rows[1]["priority"] == 3


async def test_request_input__answered_while_its_run_goes_on(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?")
    await at_work.office.send(at_work.session, "and one more thing")
    await at_work.reply(said.request_id)
    assert (await at_work.prompts())[1] == "and one more thing"
    assert "Which colour?" in (await at_work.prompts())[2]
    await at_work.finish()
    assert (await at_work.task_now())["state"] == "running"
    states = await at_work.office.fetch("SELECT state::text FROM runs ORDER BY line_no")
    assert [row["state"] for row in states] == ["succeeded", "queued", "pending"]


async def test_reply__a_second_answer_is_a_duplicate_and_asks_nothing(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    assert await at_work.reply(said.request_id) is False
    assert await at_work.reply(said.request_id, "red") is True
    assert len(await at_work.prompts()) == 2


async def test_reply__of_an_unknown_option_or_of_nothing(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?", "red", "blue")
    assert said.request_id is not None
    for reply in (Reply(), Reply(option_id="3")):
        with pytest.raises(BerthError) as caught:
            await at_work.office.human_loop.reply(said.request_id, reply, by=uuid4())
        assert caught.value.code is Code.VALIDATION
    assert (await at_work.request(said.request_id))["now"] == "pending"


async def test_reply__declined_is_an_answer_too(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?")
    assert said.request_id is not None
    await at_work.finish()
    await at_work.office.human_loop.reply(said.request_id, Reply(decision="reject"), by=uuid4())
    assert (await at_work.prompts())[1].endswith("The person declined to answer.")


async def test_reply__after_the_session_was_archived(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    await at_work.office.execute("UPDATE sessions SET state = 'archived'")
    with pytest.raises(Stale) as caught:
        await at_work.reply(said.request_id)
    assert caught.value.code is Code.SESSION_ARCHIVED
    assert (await at_work.request(said.request_id))["now"] == "pending"
    await at_work.office.execute("UPDATE sessions SET state = 'active'")
    assert await at_work.reply(said.request_id) is False
    assert len(await at_work.prompts()) == 2


async def test_reply__to_what_a_cancel_withdrew(at_work: Working) -> None:
    said = await at_work.call("request_input", "Which colour?")
    await at_work.office.runs.cancel(at_work.berth.run_id)
    await at_work.finish("canceled", Reason.CANCELED)
    assert (await at_work.request(said.request_id))["now"] == "withdrawn"
    with pytest.raises(Stale) as caught:
        await at_work.reply(said.request_id)
    assert caught.value.code is Code.ALREADY_FINISHED
    assert len(await at_work.prompts()) == 1


async def test_question__does_not_hold_up_what_waits_for_a_permission(at_work: Working) -> None:
    """A run parks while its own ask is open, not while a question is that outlives it."""
    await at_work.call("request_input", "Which colour?")
    asked = at_work.berth.asked()
    await at_work.office.report(at_work.berth, asked)
    assert (await at_work.run())["now"] == "waiting"
    await at_work.office.allow(asked.ask_id)
    await at_work.office.expire(at_work.berth)
    await at_work.office.rescue.reclaim()
    assert (await at_work.run())["now"] == "queued"


async def test_question__is_told_overdue_by_its_session(at_work: Working) -> None:
    await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    await at_work.office.execute("UPDATE human_loop_requests SET deadline = now() - interval '1 s'")
    assert await at_work.office.rescue.tell_overdue() == 1
    query = "SELECT run_id FROM events WHERE kind = 'human_loop.overdue'"
    assert [row["run_id"] for row in await at_work.office.fetch(query)] == [None]


# --- ask_user ---------------------------------------------------------------------------------


async def test_ask_user__is_given_an_answer_that_comes_in_time(at_work: Working) -> None:
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    request_id = await pending_request(at_work)
    await at_work.reply(request_id)
    said = await asking
    assert (said.answer, said.duplicate) == ("blue", False)
    assert said.text == "The person answered:\nblue"
    assert (await at_work.request(request_id))["now"] == "delivered"
    await at_work.finish()
    assert await at_work.prompts() == ["do it"]
    assert (await at_work.task_now())["state"] == "review"


async def test_ask_user__of_nobody_is_as_request_input(at_work: Working) -> None:
    patient(at_work.office, 0.05)
    said = await at_work.call("ask_user", "Which colour?")
    assert said.answer is None
    assert said.text == tools.ASKED
    await at_work.finish()
    assert (await at_work.task_now())["state"] == "waiting"
    await at_work.reply(said.request_id)
    assert len(await at_work.prompts()) == 2


async def test_ask_user__answered_while_the_run_goes_on_after_its_time(at_work: Working) -> None:
    patient(at_work.office, 0.05)
    said = await at_work.call("ask_user", "Which colour?")
    await at_work.reply(said.request_id)
    assert len(await at_work.prompts()) == 2
    assert (await at_work.call("ask_user", "Which colour?")).answer is None


async def test_ask_user__whose_caller_left_becomes_a_message(at_work: Working) -> None:
    left = asyncio.Event()
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?", left=left))
    request_id = await pending_request(at_work)
    left.set()
    await asking
    await at_work.reply(request_id)
    assert len(await at_work.prompts()) == 2


async def test_ask_user__answered_with_nobody_waiting_is_not_lost(at_work: Working) -> None:
    """Its control plane died: the answer is taken by the same call, else it begins a turn."""
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    request_id = await pending_request(at_work)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await at_work.reply(request_id)
    assert (await at_work.request(request_id))["now"] == "answered"
    await at_work.finish()
    assert (await at_work.request(request_id))["now"] == "delivered"
    assert len(await at_work.prompts()) == 2


async def test_ask_user__a_later_attempt_takes_the_answer(at_work: Working) -> None:
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    request_id = await pending_request(at_work)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await at_work.reply(request_id)
    await at_work.again()
    said = await at_work.call("ask_user", "Which colour?")
    assert (said.answer, said.duplicate, said.request_id) == ("blue", True, request_id)
    await at_work.finish()
    assert await at_work.prompts() == ["do it"]


async def test_ask_user__canceled_while_it_waits(at_work: Working) -> None:
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    request_id = await pending_request(at_work)
    await at_work.office.runs.cancel(at_work.berth.run_id)
    await at_work.finish("canceled", Reason.CANCELED)
    with pytest.raises(Stale):
        await asking
    assert (await at_work.request(request_id))["now"] == "withdrawn"


async def test_ask_user__an_answer_to_a_call_is_told_to_no_later_attempt(
    at_work: Working,
) -> None:
    """Only what an attempt waited for is: this one is taken, or begins a turn."""
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    await at_work.reply(await pending_request(at_work))
    await asking
    await at_work.again()
    command = await at_work.office.value(
        "SELECT payload FROM commands WHERE type = 'start' ORDER BY position DESC LIMIT 1"
    )
    assert '"answers":[]' in command


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
