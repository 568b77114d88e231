"""When a call is refused for what became of the others."""

from chassis.breaker import PAUSE_SECONDS, PROBE_SECONDS, THRESHOLD, Breaker
from tests.fixtures.clock import ManualClock


async def opened(clock: ManualClock) -> Breaker:
    """Its pause is over: the next call is a probe."""
    breaker = Breaker(clock)
    for _ in range(THRESHOLD):
        breaker.failed()
    assert breaker.refusal() == PAUSE_SECONDS
    await clock.advance(PAUSE_SECONDS)
    return breaker


async def test_probe__is_alone_for_a_moment_only() -> None:
    clock = ManualClock()
    breaker = await opened(clock)
    assert breaker.refusal() is None
    with breaker.watching():  # a long poll: heard, and without an answer for long
        assert breaker.refusal() == PROBE_SECONDS
        await clock.advance(PROBE_SECONDS)
        assert breaker.refusal() is None
        with breaker.watching():
            assert breaker.refusal() == PROBE_SECONDS
            breaker.succeeded()
        assert breaker.refusal() is None


async def test_probe__that_was_cancelled_leaves_room_for_the_next() -> None:
    clock = ManualClock()
    breaker = await opened(clock)
    with breaker.watching():
        pass
    assert breaker.refusal() is None
