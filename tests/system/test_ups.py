"""`berth up` killed, with all that it had started still running, and started again."""

from collections.abc import AsyncGenerator

import pytest

from cli.client import ApiClient, Place
from cli.stack.record import read_key
from contracts.events import RunStarted
from contracts.runs import Run
from tests.fixtures.commands import fresh_home, start_up
from tests.fixtures.stack import SCALED, EmbeddedStack, Told, with_effects
from tests.system.oracle import examine
from tests.system.visitor import Shadow, Visitor, script
from tests.system.voyages import told, under_way, voyage


@pytest.fixture
async def stack(no_stack: None) -> AsyncGenerator[EmbeddedStack]:
    """Not started: a home of its own, and the scaled settings."""
    with fresh_home() as home:
        yield EmbeddedStack(home, Told(), with_effects(home, SCALED))


def settings_of(stack: EmbeddedStack) -> list[str]:
    given = stack.options.overrides
    pairs = [f"{name}.{key}={value}" for name, own in given.items() for key, value in own.items()]
    return [part for pair in pairs for part in ("--set", pair)]


def started(shadow: Shadow) -> RunStarted:
    return [one.event for one in shadow.seen if isinstance(one.event, RunStarted)][-1]


async def test_up__killed_and_started_again_goes_on(stack: EmbeddedStack) -> None:
    up = start_up(stack.home, *settings_of(stack))
    up.wait_until_ready()
    async with ApiClient(Place(url=up.url, key=read_key(stack.home) or "")) as api:
        visitor = Visitor(api)
        shadow = await visitor.send(script({"remember": {"key": "NONCE", "value": "n-4711"}}))
        first = await visitor.succeeded(shadow)
        made = voyage(stack, pieces=150)
        await under_way(await visitor.send(made.prompt))
        up.process.kill()
        up.process.wait()
        async with stack.running():
            assert stack.url == api.url, "another port: clients would have lost it"
            await visitor.succeeded(shadow := [*visitor.shadows.values()][-1])
            assert made.effects() == ["before", "after"]
            assert (await visitor.run(shadow)).attempt == 1
            await recalls(visitor, first)
            await examine(stack, visitor)
        await visitor.leave()


async def recalls(visitor: Visitor, first: Run) -> None:
    shadow = await visitor.send("recall NONCE", session=first.session_id)
    await visitor.succeeded(shadow)
    assert started(shadow).resume == "native"
    assert "n-4711" in told(shadow.seen)
