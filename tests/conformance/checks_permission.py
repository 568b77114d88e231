"""An effect is absent before its approval, and for ever after a refusal: by the engine's own view
before, by the committed snapshot after.
"""

import json

from contracts.human_loop import Reply
from contracts.runs import Run
from tests.agents.acts import Say, Shell
from tests.agents.talk import Talk, nonce
from tests.conformance.trial import Check, Trial
from tests.system.visitor import Shadow

EFFECT = "effect.txt"


async def asking(
    trial: Trial, talk: Talk, word: str, *, insists: bool = False
) -> tuple[Shadow, str]:
    """A run that waits for a person, and its request's id; nothing is done yet.

    `insists`: the model wants the very same again, as one does whose call was interrupted.
    """
    act = Shell(command=f"echo {word} >> {EFFECT}", ask=True)
    shadow = await talk.send(*[act] * (3 if insists else 1), Say(text="It is over."))
    request = await talk.asked(shadow)
    assert request.type == "permission", request
    assert word in json.dumps(request.input), request.input
    assert word not in (await trial.there(talk, EFFECT) or b"").decode(), "done before it was asked"
    assert (await trial.visitor.run(shadow)).state == "waiting"
    return shadow, str(request.request_id)


async def allow(trial: Trial) -> None:
    talk, word = trial.talk(), nonce()
    shadow, _ = await asking(trial, talk, word)
    await talk.succeeded(shadow)
    assert (await trial.saved(talk)).lines(EFFECT) == [word]


async def reject(trial: Trial) -> None:
    """It goes on without, or ends with a reason of its own; it is never canceled by it."""
    talk, word = trial.talk(), nonce()
    shadow, _ = await asking(trial, talk, word)
    request = await talk.asked(shadow)
    await talk.reply(request.request_id, Reply(decision="reject"))
    await shadow.closed(within=60)
    refused(await trial.visitor.run(shadow))
    assert (await trial.saved(talk)).lines(EFFECT) == []
    again = await talk.done(Say(text="Still there."))
    assert again.seen
    assert (await trial.saved(talk)).lines(EFFECT) == []


def refused(run: Run) -> None:
    ended = (run.state, run.reason)
    went_on = run.state == "succeeded"
    assert went_on or ended == ("failed", "refused_by_person"), f"{ended}: {run.detail}"


PERMISSION = [
    Check(name="permission allowed", play=allow),
    Check(name="permission rejected", play=reject),
]
