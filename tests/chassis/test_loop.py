import asyncio

from chassis.loop import Loop
from chassis.metrics import Metrics


class Duty:
    """Counts its passes; fails when told to."""

    def __init__(self) -> None:
        self.passes = 0
        self.fails = False
        self.passed = asyncio.Condition()

    async def run_once(self) -> None:
        async with self.passed:
            self.passes += 1
            self.passed.notify_all()
        if self.fails:
            raise RuntimeError("broken")

    async def reached(self, passes: int) -> None:
        async with asyncio.timeout(30), self.passed:
            await self.passed.wait_for(lambda: self.passes >= passes)


async def test_wake__brings_the_next_pass_now() -> None:
    duty = Duty()
    loop = Loop("probe", 3600, duty.run_once, Metrics())
    loop.start()
    await duty.reached(1)
    loop.wake()
    await duty.reached(2)
    await loop.stop()


async def test_failure__is_counted_and_survived() -> None:
    duty, metrics = Duty(), Metrics()
    duty.fails = True
    loop = Loop("probe", 0.01, duty.run_once, metrics)
    loop.start()
    await duty.reached(3)
    await loop.stop()
    text = metrics.render().decode()
    failed = next(line for line in text.splitlines() if 'result="failed"' in line)
    assert failed.startswith('berth_loop_passes_total{loop="probe"')
    assert float(failed.split()[-1]) >= 2


async def test_stop__ends_a_pass_under_way() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def stuck() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    loop = Loop("probe", 1, stuck, Metrics())
    loop.start()
    await asyncio.wait_for(started.wait(), 30)
    await loop.stop()
    assert ended.is_set()
