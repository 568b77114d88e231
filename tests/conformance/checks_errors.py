"""What goes wrong with the model or with the agent itself: never a success, always with a reason
of the closed list, and the session can be used afterwards.
"""

import json

from contracts.events import RunRetrying
from contracts.runs import AskedLimits, Run
from tests.agents.acts import Act, Fail, Hang, Say, numbered
from tests.agents.talk import Talk, nonce
from tests.agents.upstreams import KEYLESS, WRONG
from tests.conformance.trial import Check, Trial
from tests.e2e.engine import AGENT_UID
from tests.system.visitor import Shadow
from tests.system.voyages import told

WITHIN = 110.0
PATIENCE = AskedLimits(max_duration_seconds=90, silence_seconds=45, max_failures=1)
IMPATIENCE = AskedLimits(max_duration_seconds=60, silence_seconds=8, max_failures=1)
SECOND = AskedLimits(max_duration_seconds=90, silence_seconds=45, max_failures=2)
KILL = f"""
import os, signal, sys
for name in os.listdir("/proc"):
    try:
        if name.isdigit() and os.stat("/proc/" + name).st_uid == {AGENT_UID}:
            words = open("/proc/" + name + "/cmdline").read()
            if any(one in words for one in sys.argv[1:]):
                os.kill(int(name), signal.SIGKILL)
                print(name, words.replace("\\0", " "))
    except OSError:
        continue
"""


async def fails(trial: Trial, act: Act, *, reasons: set[str], **options: object) -> Run:
    talk, word = trial.talk(**{"limits": PATIENCE, **options}), nonce()
    shadow = await talk.send(act, Say(text="It is over."), said=f"Do this, {word}.")
    run = await talk.ended(shadow, within=WITHIN)
    assert run.state == "failed", f"{run.state}: {run.reason} {run.detail}"
    assert run.reason in reasons, f"{run.reason}: {run.detail}"
    assert run.remedy
    shown = json.dumps([one.line for one in shadow.seen])
    assert trial.bench.model.key not in shown, "the key is told"
    if "model" not in options and trial.dialect.reads_model:
        assert trial.asked(word), "the model was not asked"
    await usable(talk, options)
    return run


async def usable(talk: Talk, options: dict[str, object]) -> None:
    if "model" not in options:
        again = await talk.done(Say(text="Still there."))
        assert "Still there." in told(again.seen)


async def bad_request(trial: Trial) -> None:
    await fails(trial, Fail(status=400), reasons={"model_bad_request"})


async def unauthorized(trial: Trial) -> None:
    """The key that the project has is wrong: the provider says so."""
    await fails(trial, Say(text="Never."), reasons={"model_unauthorized"}, model=WRONG)


async def not_found(trial: Trial) -> None:
    await fails(trial, Fail(status=404), reasons={"model_not_found"})


async def rate_limited(trial: Trial) -> None:
    await fails(trial, Fail(status=429), reasons={"model_rate_limited"})


async def unavailable(trial: Trial) -> None:
    await fails(trial, Fail(status=500), reasons={"model_unavailable"})


async def hanging(trial: Trial) -> None:
    run = await fails(trial, Hang(seconds=300), reasons={"agent_silent"}, limits=IMPATIENCE)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert (run.finished_at - run.started_at).total_seconds() < 45


async def cut(trial: Trial) -> None:
    """Cut the first time only: tried again, by the agent until the answer is whole, or by us, where
    an agent takes the half for what was said and goes on from it.
    """
    talk, word = trial.talk(limits=SECOND), nonce()
    whole = Say(text=f"One two three four five six {word}", cut_after=3, cut_times=1)
    shadow = await talk.send(whole, said=f"Do this, {word}.")
    await talk.succeeded(shadow, within=WITHIN)
    again = [one.reason for one in _retries(shadow)]
    assert word in told(shadow.seen) or again == ["model_stream_cut"], "a success with half of it"
    await never_half(trial)


async def never_half(trial: Trial) -> None:
    """Cut every time."""
    half = Say(text="One two three four five six", cut_after=3)
    await fails(trial, half, reasons={"model_stream_cut"}, limits=PATIENCE)


async def killed(trial: Trial) -> None:
    talk = trial.talk(limits=SECOND)
    shadow = await talk.send(numbered(100, delay=0.1), said=f"Do this, {nonce()}.")
    async with talk.allowing(shadow):
        await shadow.until(lambda seen: "#3;" in told(seen), within=60)
        container = await trial.container(talk)
        done = await trial.engine.run(
            container, "python3", "-c", KILL, *trial.dialect.processes, uid=0
        )
        assert done.output.strip(), f"no process of the agent was there: {done.output}"
        await shadow.kind("run.retrying", within=60)
    (retry,) = _retries(shadow)
    assert retry.reason == "agent_crashed", retry
    run = await talk.succeeded(shadow, within=WITHIN)
    assert run.attempt == 2, run


async def keyless(trial: Trial) -> None:
    """The project has none for the model that is named, and so no upstream that offers it."""
    run = await fails(trial, Say(text="Never."), reasons={"model_not_found"}, model=KEYLESS)
    assert not [one for one in trial.bench.model.ledger() if one.model == KEYLESS], run


def _retries(shadow: Shadow) -> list[RunRetrying]:
    return [one.event for one in shadow.seen if isinstance(one.event, RunRetrying)]


ERRORS = [
    Check(name="error 400", play=bad_request, deadline=150),
    Check(name="error 401", play=unauthorized, deadline=150),
    Check(name="error 404", play=not_found, deadline=150),
    Check(name="error 429", play=rate_limited, deadline=150),
    Check(name="error 500", play=unavailable, deadline=150),
    Check(name="model hangs", play=hanging, deadline=150),
    Check(name="stream cut", play=cut, deadline=240),
    Check(name="agent killed", play=killed, deadline=150),
    Check(name="missing key", play=keyless, deadline=150),
]
