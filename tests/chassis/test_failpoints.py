import asyncio
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from chassis.failpoints import (
    FailpointReached,
    arm,
    arm_from,
    disarm_all,
    failpoint,
    failpoint_sync,
    hits,
)
from tests.fixtures.barriers import Barrier


@pytest.fixture(autouse=True)
def _disarmed() -> Generator[None]:
    yield
    disarm_all()


async def test_unarmed__does_nothing() -> None:
    await failpoint("probe.here")
    failpoint_sync("probe.here")
    assert hits("probe.here") == 0


async def test_raise__from_a_setting() -> None:
    arm_from("probe.here=raise; probe.there=delay:0")
    with pytest.raises(FailpointReached, match=r"probe\.here"):
        await failpoint("probe.here")
    with pytest.raises(FailpointReached):
        failpoint_sync("probe.here")
    await failpoint("probe.there")
    failpoint_sync("probe.there")
    assert (hits("probe.here"), hits("probe.there")) == (2, 2)


def test_setting__that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"probe\.here=explode"):
        arm_from("probe.here=explode")


async def test_barrier__holds_until_released() -> None:
    barrier = Barrier()
    arm("probe.here", barrier.action)
    task = asyncio.create_task(failpoint("probe.here"))
    await barrier.reached()
    assert not task.done()
    barrier.release()
    await asyncio.wait_for(task, 5)


def test_kill9__ends_the_process() -> None:
    code = (
        "from chassis.failpoints import *\n"
        "arm_from('here=kill9'); failpoint_sync('here'); print('alive')"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-9, b"")
