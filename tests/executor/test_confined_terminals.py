"""Terminals under a container's rules: another uid, told apart from the agent's own processes."""

from collections.abc import Generator
from pathlib import Path

import pytest

from chassis.ids import new_id
from cli.embedded.runtime import Runtime
from contracts.commands import SyncWorker
from contracts.executors import ExecutorPhase
from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from contracts.terminals import EXECUTOR_TTY, CloseCode
from executor.identity import Identity
from tests.executor.confined import (
    confined,
    give,
    nobody_left,
    own_identity,
    readable_runtime,
)
from tests.executor.outside import Outside
from tests.fixtures.processes import alive, gone, met, number_in
from tests.fixtures.viewer import watching

pytestmark = pytest.mark.root

CHAIN = "sh -c 'while :; do (sh -c : &) ; done' >/dev/null 2>&1 &"
"""Starts the next and ends: never in a list for long."""


@pytest.fixture(scope="module")
def runtime() -> Generator[Runtime]:
    with readable_runtime() as runtime:
        yield runtime


@pytest.fixture
def identity(place: Path) -> Generator[Identity]:
    identity = own_identity()
    give(place, identity)
    with nobody_left(identity):
        yield identity


def tty(place: Path) -> dict[str, str]:
    return {"uds": str(place / "control" / "executor.sock")}


URL = f"http://x{EXECUTOR_TTY}?mode=write"


async def test_terminal__is_the_agents_user_with_nothing_and_owns_its_tty(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        async with watching(URL, uds=tty(place)["uds"]) as viewer:
            await viewer.enter(
                "id -u; grep Cap /proc/self/status; stat -c 'tty %u %a' $(tty);"
                " touch mine; cat /proc/$PPID/environ; ls ../spool; echo en''d\r"
            )
            shown = await viewer.sees("end\r\n")
    assert f"\r{identity.uid}\r\n".encode() in shown
    assert shown.count(b"0000000000000000") >= 4
    assert f"tty {identity.uid}".encode() in shown
    assert b"BERTH_WORKER" not in shown
    assert b"spool.json" not in shown
    assert (place / "workspace" / "mine").stat().st_uid == identity.uid


async def test_run__ends_its_own_processes_and_leaves_the_terminals(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        async with watching(URL, uds=tty(place)["uds"]) as viewer:
            await viewer.enter("sleep 1009 & x=4''2; echo $! > job; echo rea''dy\r")
            await viewer.sees("ready")
            left = "setsid sleep 1010 >/dev/null 2>&1 & echo $! > left"
            await executor.start({"shell": left}, {"text": "done"})
            assert (await executor.finish()).state == "succeeded"
            pids = [int(_read(place, name)) for name in ("left", "job")]
            await gone(pids[0])
            await viewer.enter("echo x=$x''. jobs=$(jobs -r | wc -l)\r")
            await viewer.sees("x=42. jobs=1")
            assert alive(pids[1])


async def test_job_that_a_person_stopped__is_not_let_go_with_the_agent(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    """For whose checkpoints it stands still: by its uid, which is the person's too."""
    async with confined(
        place, outside, runtime, identity, checkpoint_interval_seconds=0.1
    ) as executor:
        await executor.phase(ExecutorPhase.READY)
        async with watching(URL, uds=tty(place)["uds"]) as viewer:
            await viewer.enter("sh -c 'echo $$ > job; exec sleep 1014'\r")
            job = await number_in(place / "workspace" / "job")
            await viewer.enter("\x1a")
            await met(lambda: state_of(job) == "T", "it is stopped")
            await executor.start({"shell": "echo x > y"}, {"text": "first"}, {"hang": True})
            await executor.text("first")
            before = len(checkpoints(outside))
            await executor.deliver_surely(SyncWorker(id=new_id()))
            await executor.until(lambda: len(checkpoints(outside)) > before)
            assert state_of(job) == "T"
            await viewer.enter("echo go''es on\r")
            await viewer.sees("goes on")
            await executor.supersede()


def checkpoints(outside: Outside) -> list[SnapshotCommitted]:
    found = outside.of(SnapshotCommitted)
    return [one for one in found if one.snapshot.type is SnapshotKind.CHECKPOINT]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_run_that_never_stops_starting_processes__ends_with_the_terminals_if_need_be(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    """Whichever way it was: nothing of the agent is left."""
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        async with watching(URL, uds=tty(place)["uds"]) as viewer:
            await viewer.enter("echo rea''dy\r")
            await viewer.sees("ready")
            await executor.start({"shell": CHAIN}, {"text": "done"})
            assert (await executor.finish()).state == "succeeded"
            # first: one of them may end between the two looks
            terminals = set(_terminal_processes())
            assert set(identity.processes()) <= terminals


async def test_superseded__no_process_of_a_terminal_is_left(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        async with watching(URL, uds=tty(place)["uds"]) as viewer:
            await viewer.enter("trap '' HUP; setsid sleep 1011 & echo rea''dy\r")
            await viewer.sees("ready")
            await executor.supersede()
            assert (await viewer.is_closed()).code == CloseCode.WORKER_GONE
        await executor.phase(ExecutorPhase.SUPERSEDED)
        assert identity.processes() == []


async def test_executor_that_is_killed__takes_its_terminals_along(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        async with watching(URL, uds=tty(place)["uds"]) as viewer:
            await viewer.enter("echo $$ > pid; echo rea''dy\r")
            await viewer.sees("ready")
            pid = int(_read(place, "pid"))
            executor.kill()
            await viewer.is_closed()
        await gone(pid)


def _read(place: Path, name: str) -> str:
    return (place / "workspace" / name).read_text()


def _terminal_processes() -> list[int]:
    """Whatever has a terminal of its own, and its keepers."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[4]) != 0 or b"keeper.py" in line:
                found.append(int(entry.name))
    return found
