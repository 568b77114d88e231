"""What terminals and commands leave, hand on and change beside them: nothing."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.dialling import Refused
from chassis.ids import new_id
from contracts.commands import SyncWorker
from contracts.spool import SnapshotCommitted
from contracts.terminals import EXECUTOR_EXEC, Attached
from executor.agents.spared import Spared
from executor.terminals.kept import Kept, Whose
from tests.executor.outside import Outside
from tests.executor.running import Running, running
from tests.executor.seeing import See, executor, see
from tests.fixtures.deadlines import eventually
from tests.fixtures.processes import alive, gone, met, number_in

__all__ = ["executor", "see"]

ESCAPE = (
    # unknown to whoever looks for what it was started with, and no child of what it leaves
    "env -i setsid sh -c 'echo $$ > left; exec sleep 1012' & "
    "until test -s left; do sleep 0.01; done; kill -9 $PPID; sleep 1013"
)


async def test_programs__are_handed_nothing_but_their_own(
    executor: Running, see: See, place: Path
) -> None:
    async with see() as one, see(terminal="other") as other:
        await other.is_told(Attached)
        await one.enter("ls /proc/self/fd | tr '\\n' ' '; ls -l /proc/$$/fd > mine; echo en''d\r")
        assert b"0 1 2 3 end" in await one.sees("end")
        done = await asked(place, ["ls", "/proc/self/fd"])
        assert done["stdout"].split() == ["0", "1", "2", "3"]
        await executor.start({"shell": "ls -l /proc/self/fd > theirs"})
        await executor.finish()
    workspace = place / "workspace"
    for name in ("mine", "theirs"):
        held = (workspace / name).read_text()
        assert "ptmx" not in held
        assert "spool" not in held
        assert "sock" not in held
    assert "/dev/pts/" not in (workspace / "theirs").read_text()


async def test_job_that_a_person_stopped__is_not_let_go_by_a_snapshot(
    executor: Running, see: See, outside: Outside, place: Path
) -> None:
    async with see() as viewer:
        await viewer.enter("sh -c 'echo $$ > job; exec sleep 1014'\r")
        job = await number_in(place / "workspace" / "job")
        await viewer.enter("\x1a")
        await met(lambda: state_of(job) == "T", "it is stopped")
        for number in (1, 2):  # the second was begun when it was stopped already
            before = len(outside.of(SnapshotCommitted))
            await viewer.enter(f"echo {number} > more; echo wri''tten {number}\r")
            await viewer.sees(f"written {number}")
            await executor.deliver_surely(SyncWorker(id=new_id()))
            await executor.until(lambda before=before: len(outside.of(SnapshotCommitted)) > before)
        # the shell was held, and goes on
        await viewer.enter("jobs -s | wc -l; echo loo''ked\r")
        await viewer.sees("looked")
        assert state_of(job) == "T"


async def test_what_starts_while_the_others_stand_still__does_so_too(tmp_path: Path) -> None:
    spared = Spared()
    spared.hold()
    kept = await Kept.start(
        ["/bin/sh", "-c", "touch here"],
        env={"PATH": os.defpath},
        cwd=tmp_path,
        whose=Whose(identity=None, spared=spared),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        await met(lambda: state_of(kept.pid) == "T", "it stands still")
        assert not (tmp_path / "here").exists()
        spared.let_go()
        assert await asyncio.wait_for(kept.wait(), 15) == 0
        assert (tmp_path / "here").exists()
    finally:
        await kept.end()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_terminals_that_ended_unseen__make_room(
    place: Path, outside: Outside, see: See
) -> None:
    async with running(place, outside, terminals=2):
        for name in ("a", "b"):
            async with see(terminal=name) as viewer:
                await viewer.enter(f"echo $$ > {name}; echo wri''tten\r")
                await viewer.sees("written")
        first, second = [int((place / "workspace" / name).read_text()) for name in ("a", "b")]
        with pytest.raises(Refused):
            async with see(terminal="c"):
                pass
        os.kill(first, signal.SIGKILL)
        await gone(first)

        async def opens() -> bool:
            try:
                async with see(terminal="c") as viewer:
                    await viewer.is_told(Attached)
            except Refused:
                return False
            return True

        # it is the keeper's end that counts, and nobody tells of that
        await eventually(opens, "the third is opened")
        async with see(terminal="b") as viewer:
            await viewer.enter("echo sti''ll $$\r")
            await viewer.sees(f"still {second}")


async def test_command_that_gets_away__holds_nothing_of_the_executors(
    executor: Running, place: Path
) -> None:
    before = pipes()
    done = await asked(place, ESCAPE)
    left = int((place / "workspace" / "left").read_text())
    try:
        assert (done["exit_code"], done["truncated"]) == (137, True)
        assert alive(left)
        await met(lambda: pipes() <= before, "its pipes are closed")
    finally:
        os.kill(left, signal.SIGKILL)


def pipes() -> int:
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # by which they were listed
            found += str(one.readlink()).startswith("pipe:")
    return found


async def asked(place: Path, command: str | list[str]) -> dict[str, Any]:
    socket = str(place / "control" / "executor.sock")
    transport = httpx.AsyncHTTPTransport(uds=socket)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=30) as http:
        answer = await http.post(EXECUTOR_EXEC.path, json={"command": command})
    assert answer.status_code == 200, answer.text
    return answer.json()
