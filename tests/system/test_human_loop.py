"""A person is asked, and answers whenever that is: what is granted happens once, a no is told."""

import signal

import pytest

from cli.client import Refused
from cli.embedded.identity import ProcessIdentity
from cli.stack.keeping import hold_file
from cli.stream import Seen
from contracts.events import HumanLoopRequested, RunFinished, RunStarted
from contracts.human_loop import Replied, Reply
from contracts.reasons import ADVICE, Reason
from contracts.runs import RunState
from executor_manager.containers import keeping
from tests.fixtures.boxes import Box
from tests.fixtures.deadlines import DEADLINE
from tests.fixtures.stack import LEASE, EmbeddedStack
from tests.system.conftest import Figures
from tests.system.oracle import examine
from tests.system.visitor import Shadow, Visitor, script
from tests.system.voyages import told

WITHIN = LEASE + 60.0
FRONT = ("postgres", "object-store", "control-plane", "gateway")
"""What a person needs in order to answer, from below."""


async def asked_by(shadow: Shadow) -> HumanLoopRequested:
    asked = (await shadow.kind("human_loop.requested")).event
    assert isinstance(asked, HumanLoopRequested)
    return asked


async def answer(stack: EmbeddedStack, asked: HumanLoopRequested, reply: Reply) -> Replied:
    return await stack.api.post(f"/api/v1/human-loop/{asked.request_id}/reply", Replied, reply)


def saved_while_asking(seen: list[Seen]) -> bool:
    kinds = [one.kind for one in seen]
    if "human_loop.requested" not in kinds:
        return False
    return "workspace.saved" in kinds[kinds.index("human_loop.requested") :]


async def put_down(stack: EmbeddedStack, name: str) -> ProcessIdentity:
    """By SIGKILL; it stays down until `stack.start`."""
    hold_file(stack.home, name).touch()
    return await stack.kill9(name)


async def lose_container(box: Box) -> None:
    """Who keeps it, the executor, and all that this has started."""
    status = keeping.status(box.folder)
    assert status is not None
    inside = [seen.process.pid for seen in keeping.tree(box.folder)]
    for one in [ProcessIdentity.of(pid) for pid in [status.keeper[0], *inside]]:
        if one is not None:
            one.send(signal.SIGKILL)
            assert await one.gone(within=DEADLINE)


@pytest.mark.parametrize("decision", ["allow", "reject"])
async def test_answer__between_two_restarts_of_everything(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures, decision: str
) -> None:
    """All services and the container are killed while a person is asked. The answer is given when
    nobody is there who could run it; then all that is up is killed once more.
    """
    ledger = stack.ledger(f"restarted-{decision}.txt")
    before, granted = (
        {"effect": {"path": str(ledger), "key": key}} for key in ("before", "granted")
    )
    shadow = await visitor.send(script(before, {**granted, "ask": True}, {"text": "I went on\n"}))
    asked = await asked_by(shadow)
    await shadow.until(saved_while_asking)
    box = stack.box(visitor.session_of(shadow))
    manager = await put_down(stack, "executor-manager")
    await stack.kill9("relay")
    await lose_container(box)
    former = {name: await put_down(stack, name) for name in reversed(FRONT)}
    for name in FRONT:
        await stack.start(name, former[name])
    replied = await answer(
        stack, asked, Reply(decision="allow" if decision == "allow" else "reject")
    )
    assert not replied.duplicate
    for name in FRONT:
        await stack.back(name, await stack.kill9(name))
    assert (await answer(stack, asked, Reply(decision="reject"))).duplicate
    assert ledger.read_text().split() == ["before"], "nobody was there to do it"
    with figures.timed(f"everything killed, {decision}ed, killed again: run over"):
        await stack.start("executor-manager", manager)
        run = await visitor.succeeded(shadow, within=WITHIN)
    assert run.attempt >= 2
    assert run.resume == "native"
    assert "I went on" in told(shadow.seen)
    done = ["before", "granted"] if decision == "allow" else ["before"]
    assert ledger.read_text().split() == done
    assert [one.kind for one in shadow.seen].count("human_loop.resolved") == 1
    await examine(stack, visitor)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_refusal__is_told_as_what_it_was_to_the_turn(
    stack: EmbeddedStack, visitor: Visitor, *, goes_on: bool
) -> None:
    ledger = stack.ledger("refused.txt")
    steps = [{"effect": {"path": str(ledger), "key": "refused"}, "ask": True}]
    further = [{"text": "Then I do without.\n"}] if goes_on else []
    shadow = await visitor.send(script(*steps, *further))
    await answer(stack, await asked_by(shadow), Reply(decision="reject"))
    await shadow.closed()
    run = await visitor.run(shadow)
    expected = (
        (RunState.SUCCEEDED, Reason.COMPLETED)
        if goes_on
        else (RunState.FAILED, Reason.REFUSED_BY_PERSON)
    )
    assert (run.state, run.reason) == expected
    assert run.attempt == 1, "the same question again would be no use"
    assert not ledger.exists()
    ended = (await shadow.kind("run.finished")).event
    assert isinstance(ended, RunFinished)
    assert ended.remedy == ADVICE[expected[1]].remedy
    await examine(stack, visitor)


async def test_question__takes_what_its_form_offers(stack: EmbeddedStack, visitor: Visitor) -> None:
    schema = {
        "type": "object",
        "properties": {
            "colour": {"type": "string", "enum": ["red", "green"]},
            "sure": {"type": "boolean"},
        },
        "required": ["colour"],
    }
    ask = {"ask_user": {"message": "Which colour?", "schema": schema}}
    shadow = await visitor.send(script(ask))
    asked = await asked_by(shadow)
    assert asked.form == schema
    for reply, field in (
        (Reply(text="blue"), "text"),
        (Reply(content={"colour": "blue"}), "content.colour"),
        (Reply(content={"sure": True}), "content.colour"),
    ):
        with pytest.raises(Refused) as refused:
            await answer(stack, asked, reply)
        assert refused.value.problem.details["field"] == field
        assert "'red', 'green'" in refused.value.problem.details["expected"]
    await answer(stack, asked, Reply(content={"colour": "green", "sure": True}))
    await visitor.succeeded(shadow)
    assert '"colour": "green"' in told(shadow.seen)


async def test_rebuilt__is_told_of_a_past_that_its_agent_has_lost(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    """The agent's own store is deleted in the workspace, as a person or an agent may do it."""
    first = await visitor.send("remember NONCE=n-4711")
    session = (await visitor.succeeded(first)).session_id
    gone = await visitor.send(script({"shell": "rm -r .berth/agents"}), session=session)
    await visitor.succeeded(gone)
    shadow = await visitor.send("recall NONCE", session=session)
    run = await visitor.succeeded(shadow)
    started = (await shadow.kind("run.started")).event
    assert isinstance(started, RunStarted)
    assert started.resume == run.resume == "rebuilt"
    assert "not in its store; 2 earlier messages were told to it" in started.resume_reason
    assert "NONCE is n-4711" in told(shadow.seen)
    again = await visitor.send("recall NONCE", session=session)
    assert (await visitor.succeeded(again)).resume == "native"
    await examine(stack, visitor)
