"""The control plane away for several leases in the middle of a run: nobody is fenced for it."""

import asyncio

from tests.fixtures.stack import LEASE, EmbeddedStack
from tests.system.conftest import Figures
from tests.system.oracle import examine
from tests.system.test_kills import arrived
from tests.system.visitor import Visitor
from tests.system.voyages import told, under_way, voyage

LEASES_AWAY = 3
DELAY = 0.1
"""Seconds between pieces: the text is told before, during and after the outage."""


async def test_outage__of_several_leases_fences_nobody(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    """Ended in order, and down: "3 minutes", scaled as the leases are."""
    made = voyage(stack, pieces=380, delay=DELAY)
    shadow = await visitor.send(made.prompt)
    await under_way(shadow)
    former = await stack.stop("control-plane")
    heard = len(told(shadow.seen))
    await asyncio.sleep(LEASES_AWAY * LEASE)  # the outage itself is the matter of this test
    await stack.start("control-plane", former)
    await shadow.until(lambda seen: len(told(seen)) > heard)
    await arrived(stack, visitor, shadow, made, attempt=1)
    figures.add("control plane down", f"{LEASES_AWAY} leases; attempt 1, epoch 1")
    await examine(stack, visitor)


async def test_outage__of_a_frozen_control_plane_fences_nobody(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    """Frozen, it takes connections and answers nothing: whoever calls has to give up by himself."""
    made = voyage(stack, pieces=260, delay=DELAY)
    shadow = await visitor.send(made.prompt)
    await under_way(shadow)
    with stack.frozen("control-plane"):
        await asyncio.sleep(2 * LEASE)  # the outage itself is the matter of this test
    await arrived(stack, visitor, shadow, made, attempt=1)
    await examine(stack, visitor)
