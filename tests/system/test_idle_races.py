"""Messages that come at the same moment, as each other or as the end of the worker: all served."""

import asyncio
import random

from cli.client import Refused
from contracts.managers import StopAnswer
from tests.fixtures.stack import EmbeddedStack
from tests.system.conftest import Figures
from tests.system.oracle import examine
from tests.system.test_ends import SETTINGS
from tests.system.visitor import Shadow, Visitor

__all__ = ["SETTINGS"]

ROUNDS = 20
SESSIONS = 5
AROUND = (1.0, 2.5)
"""Seconds after a run: an idle stop is due after 1.5, and looked for now and then."""


async def test_two_messages_at_once__are_served_one_after_the_other(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    first = await visitor.send("remember ROUND=0")
    session = visitor.session_of(first)
    sent = [visitor.send(f"remember ROUND={number}", session=session) for number in (1, 2)]
    shadows = await asyncio.gather(*sent)
    for shadow in (first, *shadows):
        await visitor.succeeded(shadow)
    await examine(stack, visitor)


async def test_message_against_idle_stop__is_served_every_time(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    """A message comes around the moment at which its session's worker is stopped for idleness."""
    seed = random.SystemRandom().randrange(1 << 32)
    figures.add("seed of the pauses", seed)
    dice = random.Random(seed)
    sessions = [await visitor.send("remember ROUND=0") for _ in range(SESSIONS)]
    for shadow in sessions:
        await visitor.succeeded(shadow)
    rounds = ROUNDS // len(sessions)
    pauses = [[dice.uniform(*AROUND) for _ in range(rounds)] for _ in sessions]
    await asyncio.gather(*map(lambda s, p: race(stack, visitor, s, p), sessions, pauses))
    stops = await stack.value("SELECT count(*) FROM events WHERE kind = 'worker.stopped'")
    figures.add("messages against idle stops", f"{ROUNDS} rounds, {stops} workers stopped")
    await examine(stack, visitor)


async def race(stack: EmbeddedStack, visitor: Visitor, first: Shadow, pauses: list[float]) -> None:
    session = visitor.session_of(first)
    for number, pause in enumerate(pauses):
        await asyncio.sleep(pause)  # the dice say when
        shadow, _ = await asyncio.gather(
            visitor.send(f"remember ROUND={number}", session=session), stop(stack, session)
        )
        await visitor.succeeded(shadow)


async def stop(stack: EmbeddedStack, session: object) -> None:
    """Also asked for by a person, at that same moment: refused where the message was first."""
    try:
        await stack.api.post(f"/api/v1/session-workers/{session}/stop", StopAnswer)
    except Refused as refusal:
        assert refusal.problem.status in {404, 409}, refusal.problem
