"""A run is ended in its text, in its tool, and while it asks: no process of the agent is left."""

from collections.abc import Awaitable, Callable

from contracts.runs import Run
from tests.agents.acts import Act, Say, Shell, numbered
from tests.agents.talk import Talk, nonce
from tests.conformance.trial import Check, Trial
from tests.e2e.engine import AGENT_UID
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow
from tests.system.voyages import told

WITHIN = 20.0
SLEEP = 31337
PROC = f"""
import os
for name in os.listdir("/proc"):
    try:
        if name.isdigit() and os.stat("/proc/" + name).st_uid == {AGENT_UID}:
            words = open("/proc/" + name + "/cmdline", "rb").read().replace(b"\\0", b" ")
            state = open("/proc/" + name + "/stat").read().rpartition(")")[2].split()[0]
            if state != "Z":
                print(name, words.decode(errors="replace")[:200])
    except OSError:
        continue
"""
"""Run as the container's root, so that it does not find itself."""

Middle = Callable[[Trial, Talk, Shadow], Awaitable[None]]


async def cancel_in(trial: Trial, act: Act, middle: Middle) -> None:
    talk = trial.talk()
    shadow = await talk.send(act, Say(text="It is over."))
    await middle(trial, talk, shadow)
    container = await trial.container(talk)
    before = await trial.engine.processes(container)
    words = trial.dialect.processes
    assert any(word in one for one in before for word in words), f"not at work: {before}"
    await trial.bench.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
    async with talk.allowing(shadow):
        assert await shadow.closed(within=WITHIN) == "canceled"
    await no_process(trial, talk)
    assert "It is over." not in told(shadow.seen)
    again = await talk.done(Say(text="Still there."))
    assert "Still there." in told(again.seen)


async def no_process(trial: Trial, talk: Talk) -> None:
    """By the engine's list, and by the container's own."""
    container = await trial.container(talk)
    left = await trial.engine.processes(container)
    words = (*trial.dialect.processes, str(SLEEP))
    found = [one for one in left if any(word in one for word in words)]
    assert not found, f"left by the engine's list: {found}"
    inside = await trial.engine.run(container, "python3", "-c", PROC, uid=0)
    assert inside.code == 0, inside.output
    assert not inside.output.strip(), f"left by /proc: {inside.output}"


async def streaming(trial: Trial) -> None:
    async def in_text(_trial: Trial, _talk: Talk, shadow: Shadow) -> None:
        await shadow.until(lambda seen: "#3;" in told(seen), within=60)

    await cancel_in(trial, numbered(600, delay=0.1), in_text)


async def in_tool(trial: Trial) -> None:
    word = nonce()

    async def runs(trial: Trial, talk: Talk, shadow: Shadow) -> None:
        async def sleeps() -> bool:
            found = await trial.engine.processes(await trial.container(talk))
            return any(f"sleep {SLEEP}" in one and word not in one for one in found)

        async with talk.allowing(shadow):
            await shadow.kind("tool.call", within=60)
            await eventually(sleeps, "the command does not run", within=60)

    act = Shell(command=f"echo {word}; (sleep {SLEEP} &) ; sleep {SLEEP}")
    await cancel_in(trial, act, runs)


async def asking(trial: Trial) -> None:
    word = nonce()

    async def asked(trial: Trial, talk: Talk, shadow: Shadow) -> None:
        await talk.asked(shadow)
        assert await trial.there(talk, "never.txt") is None

    act = Shell(command=f"echo {word} > never.txt", ask=True)
    await cancel_in(trial, act, asked)
    assert "never.txt" not in (await trial.saved(trial.talks[-1])).files


CANCEL = [
    Check(name="cancel mid-stream", play=streaming),
    Check(name="cancel mid-tool", play=in_tool),
    Check(name="cancel while asking", play=asking),
]
