"""Questions that agents ask by tools: they outlive their run, and are answered once."""

import asyncio
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError, Stale
from contracts.errors import Code
from contracts.human_loop import Reply
from contracts.reasons import Reason
from control_plane.domain import tools
from tests.control_plane.tools.working import Working, patient, working
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
    start = "SELECT payload FROM commands WHERE type = 'start' ORDER BY position DESC LIMIT 1"
    assert '"answers":[]' in await at_work.office.value(start)
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
