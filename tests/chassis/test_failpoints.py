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
    arm_from("probe.here=raise")
    with pytest.raises(FailpointReached, match=r"probe\.here"):
        await failpoint("probe.here")
    with pytest.raises(FailpointReached):
        failpoint_sync("probe.here")
    assert hits("probe.here") == 2


@pytest.mark.parametrize("action", ["explode", "hold", "hold:"])
def test_setting__that_cannot_be_read_is_named(action: str) -> None:
    with pytest.raises(ValueError, match=rf"probe\.here={action}"):
        arm_from(f"probe.here={action}")


async def test_hold__until_the_file_is_there(tmp_path: Path) -> None:
    go = tmp_path / "go"
    arm_from(f"probe.here=hold:{go}")
    held = [
        asyncio.create_task(failpoint("probe.here")),
        asyncio.create_task(asyncio.to_thread(failpoint_sync, "probe.here")),
    ]
    while hits("probe.here") < 2:  # noqa: ASYNC110  # one is a thread
        await asyncio.sleep(0)
    assert not any(one.done() for one in held)
    go.touch()
    await asyncio.wait_for(asyncio.gather(*held), 30)


async def test_barrier__holds_until_released() -> None:
    barrier = Barrier()
    arm("probe.here", barrier.action)
    task = asyncio.create_task(failpoint("probe.here"))
    await barrier.reached()
    assert not task.done()
    barrier.release()
    await asyncio.wait_for(task, 30)


def test_kill9__ends_the_process() -> None:
    code = (
        "from chassis.failpoints import *\n"
        "arm_from('here=kill9'); failpoint_sync('here'); print('alive')"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-9, b"")
