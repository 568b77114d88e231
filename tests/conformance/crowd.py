"""Many runs with calls of models, some tried again, some canceled in the middle, some cut: what is
booked is what the model counted.

By the scripted agent, which calls a model as its script says; its model is asked by nobody else.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from contracts.runs import AskedLimits, Run, RunOptions
from tests.agents.books import Books, settled
from tests.agents.upstreams import CROWD, calls
from tests.conformance.trial import Bench
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow, Visitor, script
from tests.system.voyages import told

RUNS, SESSIONS, SEED = 200, 8, 20
WITHIN = 90.0
FORMATS = ("messages", "responses", "chat")
LIMITS = AskedLimits(max_duration_seconds=60, silence_seconds=30, max_failures=3)


@dataclass(frozen=True)
class Errand:
    """What one run does: `kind` decides how it has to end."""

    kind: str
    prompt: str


def errand(dice: random.Random) -> Errand:
    kind = dice.choices(
        ("plain", "refused", "cut", "hidden cut", "canceled"), weights=(50, 12, 12, 8, 18)
    )[0]
    calls = [_call(dice, [_reply(dice)]) for _ in range(dice.randint(1, 3))]
    trouble: dict[str, dict[str, Any]] = {
        "refused": {"status": dice.choice([429, 500, 503]), "times": 1},
        "cut": {"die_after": dice.randint(1, 5), "times": 1},
        "hidden cut": {"die_after": dice.randint(1, 5), "times": 1},
    }
    if kind in trouble:
        hidden = {"ignore_cut": True} if kind == "hidden cut" else {}
        calls.append(_call(dice, [{**_reply(dice), **trouble[kind]}], **hidden))
    if kind == "canceled":
        slow = " ".join(f"#{number};" for number in range(1, 400))
        calls.append(_call(dice, [{**_reply(dice), "text": slow, "delay": 0.05}]))
    return Errand(kind, script(*calls))


def _call(dice: random.Random, replies: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    asked = {"model": CROWD, "format": dice.choice(FORMATS), "replies": replies}
    return {"model": {"say": f"{dice.getrandbits(64):x}", **asked, **more}}


def _reply(dice: random.Random) -> dict[str, Any]:
    words = " ".join("word" for _ in range(dice.randint(6, 30)))
    tokens = [dice.randint(1, 5000), dice.randint(20, 900), dice.randint(0, 3000)]
    return {"text": words, "usage": [*tokens, dice.randint(0, 10)]}


async def crowd(bench: Bench, runs: int = RUNS) -> str:
    """What it came to, in words."""
    dice = random.Random(SEED)
    errands = [errand(dice) for _ in range(runs)]
    visitors = [Visitor(bench.api) for _ in range(SESSIONS)]
    try:
        await asyncio.gather(
            *(_sail(bench, one, errands[n::SESSIONS]) for n, one in enumerate(visitors))
        )
        books = await _books(bench)
    finally:
        for visitor in visitors:
            await visitor.leave()
            for session in visitor.sessions:
                await bench.api.raw("POST", f"/api/v1/session-workers/{session}/stop")
    books.compare()
    settled([*books.ledger.values()], books.calls, {one.provider_id: one for one in books.calls})
    kinds = Counter(one.kind for one in errands)
    tokens = sum(one.input_tokens + one.output_tokens for one in books.completed)
    return (
        f"{runs} runs ({', '.join(f'{count} {kind}' for kind, count in kinds.items())});"
        f" {len(books.completed)} calls completed with {tokens} tokens, {len(books.cut)} cut"
    )


async def _sail(bench: Bench, visitor: Visitor, errands: list[Errand]) -> None:
    """One session, one run after the other."""
    session = None
    options = RunOptions(limits=LIMITS)
    for one in errands:
        shadow = await visitor.send(one.prompt, session=session, options=options)
        session = visitor.session_of(shadow)
        if one.kind == "canceled":
            await _cancel(bench, shadow)
        else:
            run = await visitor.succeeded(shadow, within=WITHIN)
            again = one.kind in {"refused", "cut", "hidden cut"}
            assert run.attempt == (2 if again else 1), f"{one.kind}: {run} {shadow.kinds()}"


async def _cancel(bench: Bench, shadow: Shadow) -> None:
    await shadow.until(lambda seen: "#3;" in told(seen), within=WITHIN)
    await bench.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
    assert await shadow.closed(within=WITHIN) == "canceled"


async def _books(bench: Bench) -> Books:
    async def closed() -> bool:
        found = await calls(bench.api)
        of_crowd[:] = [one for one in found if one.model == CROWD]
        return not any(one.state == "open" for one in of_crowd)

    of_crowd: list[Any] = []
    await eventually(closed, "calls stay open", within=60)
    ledger = {one.id: one for one in bench.model.ledger() if one.model == CROWD}
    return Books(of_crowd, ledger)
