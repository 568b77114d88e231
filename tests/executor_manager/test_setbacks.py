"""Pauses that grow, also of what fails for days."""

from executor_manager.containers.errors import BackendError, Unreachable
from executor_manager.services.setbacks import PAUSE_LONGEST, STUCK_AFTER, Setbacks, growing


def test_growing__is_doubled_and_never_more_than_a_minute() -> None:
    assert [growing(0.5, times) for times in range(4)] == [0.5, 1.0, 2.0, 4.0]
    assert growing(0.5, 7) == PAUSE_LONGEST
    assert growing(0.5, 100_000) == PAUSE_LONGEST


async def test_setbacks__of_days_are_still_put_off_and_told() -> None:
    setbacks = Setbacks()
    assert setbacks.over
    for _ in range(2000):
        setbacks.add(BackendError("refused"))
    assert not setbacks.over
    assert setbacks.stuck


async def test_setbacks__of_an_engine_that_is_away_are_nobodys() -> None:
    setbacks = Setbacks()
    for _ in range(2 * STUCK_AFTER):
        setbacks.add(Unreachable("away"))
    assert not setbacks.over
    assert not setbacks.stuck
    setbacks.clear()
    assert setbacks.over
