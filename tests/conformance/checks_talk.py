"""What an agent does in a turn that nothing disturbs."""

import json
from typing import Any

from cli.client import Refused
from contracts.events import HumanLoopRequested, TodoUpdate
from contracts.human_loop import Reply
from contracts.runs import Run, RunOutput
from contracts.tool_events import ToolAccepted, ToolCall, ToolDiff, ToolResult, ToolUpdate
from tests.agents.acts import Question, Say, Tool, numbered
from tests.agents.talk import LIMITS, asks, labels, nonce, thought
from tests.agents.upstreams import DEFAULT
from tests.conformance.trial import Check, Tour, Trial
from tests.e2e import inside
from tests.e2e.engine import AGENT_UID, threaded
from tests.e2e.inside import SECRETS, asked_outside
from tests.system.visitor import Shadow
from tests.system.voyages import told

CHOICES = ("Oslo", "Haugesund")


async def start(trial: Trial) -> None:
    """In a container of the image; the model is the first that the project offers."""
    tour = await trial.tour()
    assert labels(tour.shadow.seen) == ["fresh"], tour.shadow.kinds()
    container = await trial.container(tour.talk)
    inspected = await trial.engine.inspect(container)
    image = await threaded(trial.engine.client.images.get, trial.bench.image)
    assert inspected["Image"] == image.id  # a name may mean another by now
    if trial.dialect.reads_model:
        models = {one.model for one in trial.asked(tour.said)}
        assert models == {DEFAULT}, f"the model was asked as {models}"


async def capabilities(trial: Trial) -> None:
    """By its own answer, outside of us: what it says that it can, a run may need of it; a run that
    needs anything else is blocked before a model is asked.
    """
    able = abilities(trial.bench.introduced[trial.name]["agentCapabilities"])
    has = [need for need, there in able.items() if there]
    talk = trial.talk(needs=has)
    await talk.done(Say(text="I can."))
    for need in able.keys() - {*has}:
        lacking, word = trial.talk(needs=[need]), nonce()
        run = await lacking.ended(await lacking.send(Say(text="I cannot."), said=f"Do {word}."))
        assert (run.state, run.reason) == ("blocked", "capability_missing"), run
        assert run.remedy
        assert not trial.asked(word), "the model was asked all the same"


def abilities(said: dict[str, Any]) -> dict[str, bool]:
    """As runs name them."""
    session = said.get("sessionCapabilities") or {}
    return {
        "resume": bool(said.get("loadSession")) or session.get("resume") is not None,
        "images": bool((said.get("promptCapabilities") or {}).get("image")),
        "mcp": bool((said.get("mcpCapabilities") or {}).get("http")),
    }


async def text(trial: Trial) -> None:
    tour = await trial.tour()
    run = tour.shadow.run_id
    output = await trial.bench.api.get(f"/api/v1/runs/{run}/output", RunOutput)
    assert output.text.strip() == f"It is {tour.said}."
    assert told(tour.shadow.seen).count(tour.said) == 1, told(tour.shadow.seen)


async def thinking(trial: Trial) -> None:
    tour = await trial.tour()
    assert tour.thought in thought(tour.shadow.seen), tour.shadow.kinds()
    assert tour.thought not in told(tour.shadow.seen), "a thought is told as text"


async def file(trial: Trial) -> None:
    """By the agent's own tool; the store has it."""
    tour = await trial.tour()
    saved = await trial.saved(tour.talk)
    assert saved.files["kept.txt"] == f"{tour.wrote}\n".encode()
    paths = [path for one in _events(tour, ToolCall) for path in one.paths]
    paths += [diff.path for one in _events(tour, ToolUpdate) for diff in one.diffs]
    inputs = json.dumps([one.input for one in _events(tour, ToolCall, ToolUpdate)])
    assert any("kept.txt" in path for path in paths) or "kept.txt" in inputs, tour.shadow.kinds()
    asks = [one for one in _events(tour, HumanLoopRequested) if one.type == "permission"]
    shown = any("kept.txt" in json.dumps(one.input) for one in asks)
    assert shown or not trial.dialect.reads_model, "who was asked could not see it"


async def shell(trial: Trial) -> None:
    """What it printed is shown, and is what the store has of it."""
    tour = await trial.tour()
    printed = f"{tour.printed}-42"
    saved = await trial.saved(tour.talk)
    assert saved.files["printed.txt"].decode().strip() == printed
    outputs = "".join(one.output for one in _events(tour, ToolResult))
    outputs += "".join(one.output_delta for one in _events(tour, ToolUpdate))
    assert printed in outputs, outputs[-500:]
    assert all(one.status == "completed" for one in _events(tour, ToolResult))


async def diff(trial: Trial) -> None:
    tour = await trial.tour()
    saved = await trial.saved(tour.talk)
    assert saved.files["tour.txt"] == f"{tour.edited}\n".encode()
    diffs = [one for event in _events(tour, ToolUpdate, ToolResult) for one in event.diffs]
    assert any(_shows(one, tour) for one in diffs), diffs


def _shows(diff: ToolDiff, tour: Tour) -> bool:
    whole = diff.path.endswith("tour.txt") and tour.edited in diff.new_text
    return whole and tour.wrote in (diff.old_text or "")


async def plan(trial: Trial) -> None:
    tour = await trial.tour()
    plans = [event.entries for event in _events(tour, TodoUpdate)]
    assert plans, "no plan was told"
    entry = [one for one in plans[-1] if one.content == tour.planned]
    assert [one.status for one in entry] == ["in_progress"], plans[-1]


async def question(trial: Trial) -> None:
    """Asked by the agent's own tool; what the person said reaches the model."""
    talk, word = trial.talk(limits=LIMITS), nonce()
    said = word[::-1]
    asking = Question(text=f"Which port, {word}?", options=(*CHOICES, f"Bergen, {said}"))
    shadow = await talk.send(asking, Say(text="Thank you."))
    async with talk.allowing(shadow):
        request = await talk.asked(shadow)
        assert request.type == "question", request
        assert word in request.title + json.dumps(request.form), request
        try:
            await talk.reply(request.request_id, Reply(text=f"Stavanger, {said}"))
        except Refused:  # it takes nothing but its choices
            await talk.reply(request.request_id, Reply(text=f"Bergen, {said}"))
        await trial.visitor.succeeded(shadow)
    if trial.dialect.reads_model:
        heard = "".join(one.said_by("tool") for one in trial.asked(word))
        assert f"Stavanger, {said}" in heard or f"Bergen, {said}" in heard, heard[-500:]
    else:
        assert said in told(shadow.seen)


async def platform_tool(trial: Trial) -> None:
    """Found and called by the agent over MCP; the platform's answer reaches the model."""
    await finished_by_tool(trial)


async def platform_tool_unasked(trial: Trial) -> None:
    """What it tells of its own work needs no person's word."""
    shadow = await finished_by_tool(trial)
    assert asks(shadow.seen) == 0, "a tool of the platform wanted a person"


async def finished_by_tool(trial: Trial) -> Shadow:
    talk, word = trial.talk(), nonce()
    asking = Tool(name="finish_task", arguments={"summary": f"All is stowed, {word}."})
    shadow = await talk.done(asking, Say(text="It is finished."))
    accepted = [one.event for one in shadow.seen if isinstance(one.event, ToolAccepted)]
    assert [(one.tool, one.by) for one in accepted] == [("finish_task", None)], shadow.kinds()
    assert word in accepted[0].text
    heard = [one.said_by("tool") for one in trial.asked(word)]
    assert any("the work is done" in one for one in heard), "its answer did not reach the model"
    return shadow


async def platform_question(trial: Trial) -> None:
    """Whatever the agent has of its own: answered within the call, it is the call's answer."""
    talk, word = trial.talk(), nonce()
    asking = Tool(name="ask_user", arguments={"question": f"Which port, {word}?"})
    shadow = await talk.send(asking, Say(text="Thank you."))
    async with talk.allowing(shadow):
        request = await talk.asked(shadow)
        if request.type != "question":
            request = await talk.asked(shadow, count=2)
        assert word in request.title, request
        await talk.reply(request.request_id, Reply(text=f"Bergen, {word[::-1]}"))
        await trial.visitor.succeeded(shadow)
    assert any(word[::-1] in one.said_by("tool") for one in trial.asked(word))


async def no_key_inside(trial: Trial) -> None:
    """While it streams: in no environment, no arguments, no file, no memory of the container."""
    talk = trial.talk()
    shadow = await talk.send(numbered(300, delay=0.1))
    async with talk.allowing(shadow):
        await shadow.until(lambda seen: "#3;" in told(seen), within=60)
        container, question = (
            await trial.container(talk),
            inside.Question(secrets=trial.bench.stack.given),
        )
        for uid in (0, AGENT_UID):
            found = await asked_outside(trial.engine, container, question, SECRETS, uid=uid)
            assert not any(found.values()), f"as uid {uid}: {found}"
        await trial.bench.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
        await shadow.closed()


def _events(tour: Tour, *kinds: type) -> list[Any]:
    return [one.event for one in tour.shadow.seen if isinstance(one.event, kinds)]


TALK = [
    Check(name="start", play=start),
    Check(name="capabilities", play=capabilities),
    Check(name="text", play=text),
    Check(name="thinking", play=thinking),
    Check(name="file", play=file),
    Check(name="shell", play=shell),
    Check(name="diff", play=diff),
    Check(name="plan", play=plan),
    Check(name="question", play=question),
    Check(name="platform tool", play=platform_tool),
    Check(name="platform tool unasked", play=platform_tool_unasked),
    Check(name="platform question", play=platform_question),
    Check(name="no key inside", play=no_key_inside),
]
