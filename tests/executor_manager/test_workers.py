"""What becomes of workers: dead, hung, superseded, idle; with real processes."""

import asyncio
import os
import signal
from pathlib import Path

from chassis.ids import new_id
from contracts.workers import WorkerState
from executor_manager.containers import keeping
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.process import ProcessBackend
from tests.executor_manager.managers import (
    Desk,
    Start,
    container_of,
    executor_pid,
    home_of,
    starts,
    until,
    until_answered,
)
from tests.executor_manager.relays import Relay

DELIVERIES = 10


async def test_a_dead_executor__is_started_again_in_the_same_epoch(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    os.kill(executor_pid(container), signal.SIGKILL)
    await until(lambda: starts(container) == 2, "second start")
    await until_answered(desk, worker)
    assert desk.changed(worker, "failed") is None


async def test_a_dead_executor_whose_spool_is_of_another_boot__fails(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    mark = container.directories.spool / "spool.json"
    text = mark.read_text()
    mark.write_text(text.replace('"boot_id": "', '"boot_id": "0'))
    os.kill(executor_pid(container), signal.SIGKILL)
    change = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert change.reason == "spool_lost"
    # it could not save aside: it is kept
    await until(lambda: (s := desk.reported(worker)) and s.state is WorkerState.FAILED, "kept")
    assert container.directories.workspace.exists()


async def test_an_executor_that_dies_again_and_again__fails(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start(restarts=2)
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    for times in (1, 2, 3):
        await until(lambda times=times: starts(container) == times, "started")
        await until_answered(desk, worker)
        place = container.directories.workspace.parent
        seen = await until(lambda place=place: keeping.executor_seen(place), "its keeper knows it")
        os.kill(seen.process.pid, signal.SIGKILL)
    change = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert change.reason == "restarted_too_often"


async def test_a_hung_executor__does_not_answer_and_holds_up_nobody(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    manager = await start()
    hung, well = desk.offer(), desk.offer()
    await desk.ready(hung)
    await desk.ready(well)
    pid = executor_pid(await container_of(backend, hung))
    os.kill(pid, signal.SIGSTOP)
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    waiting = desk.command(hung, "start", run=run)
    await until(lambda: (s := desk.reported(hung)) and not s.answered, "silent")
    for _ in range(DELIVERIES):
        command = desk.command(well, "start", run=run)
        await until(lambda command=command: command in desk.done, "delivered to the other")
    # behind it, each would have waited for an attempt that the hung one did not answer
    assert manager.log.count('"event":"delivery_failed"') < DELIVERIES

    def one_answers() -> bool:
        one, other = desk.reported(well), desk.reported(hung)
        return one is not None and one.answered and other is not None and not other.answered

    await until(one_answers, "the other answers all the time")
    assert waiting not in desk.done
    os.kill(pid, signal.SIGCONT)
    await until_answered(desk, hung)
    await until(lambda: waiting in desk.done, "delivered after all")


async def test_an_executor_that_never_becomes_ready__fails_with_the_step_and_is_ended(
    start: Start, desk: Desk, backend: ProcessBackend, short_dir: Path
) -> None:
    first = await start(failpoints="startup.created=kill9")
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    container = await container_of(backend, worker)
    (container.directories.workspace / "never_ready").touch()
    desk.verdicts[worker.worker_id] = "current"
    # the one deadline of all steps, of which only the last is to miss it
    relay = Relay(short_dir / "s" / "relay")
    async with relay.admin:
        await relay.listing()
    await start(activate_deadline_seconds=6)
    change = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert change.reason == "boot_timeout"
    assert [(step.step, step.reason) for step in change.steps] == [
        ("create", ""),
        ("relay", ""),
        ("start", ""),
        ("boot", "boot_timeout"),
    ]
    found = await container_of(backend, worker)
    assert found.state is ContainerState.EXITED


async def test_superseded__saves_aside_then_is_removed(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    desk.verdicts[worker.worker_id] = "superseded"
    await until(lambda: desk.changed(worker, "removed"), "removed")
    assert not container.directories.workspace.exists()
    await until(lambda: desk.reported(worker) is None, "not listed any more")


async def test_superseded_while_it_hangs__is_started_again_to_save(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    # missed by the one that hangs, and time enough for the second to save
    await start(supersede_deadline_seconds=6)
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    os.kill(executor_pid(container), signal.SIGSTOP)
    # the second one waits before it listens, for it would save and be gone at once
    held = home_of(container) / "never_ready"
    held.touch()
    desk.verdicts[worker.worker_id] = "superseded"
    await until(lambda: starts(container) == 2, "second start")
    assert not (container.directories.workspace / "superseded").exists()
    held.unlink()
    await until(lambda: desk.changed(worker, "removed"), "removed")


async def test_failed__is_told_with_what_its_executor_says_of_it(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    home = home_of(await container_of(backend, worker))
    (home / "reason").write_text("layer_damaged")
    (home / "detail").write_text("the mount of /workspace/a: put it again")
    (home / "phase").write_text("failed")
    change = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert change.reason == "executor_failed"
    assert change.detail == "layer_damaged: the mount of /workspace/a: put it again"


async def test_superseded_and_unable_to_save__is_kept_until_removed_by_force(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start(supersede_deadline_seconds=0.5)
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    (home_of(container) / "phase").write_text("failed")
    desk.verdicts[worker.worker_id] = "superseded"
    await until(lambda: (s := desk.reported(worker)) and s.state is WorkerState.FAILED, "kept")
    assert container.directories.workspace.exists()
    assert desk.changed(worker, "removed") is None
    desk.command(worker, "remove", forced=True)
    await until(lambda: desk.changed(worker, "removed"), "removed")
    assert not container.directories.workspace.exists()


async def test_superseded_and_its_save_aside_fails__is_kept(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start(supersede_deadline_seconds=5)
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    (home_of(container) / "reason").write_text("side_save_deadline")
    desk.verdicts[worker.worker_id] = "superseded"
    await until(lambda: (s := desk.reported(worker)) and s.state is WorkerState.FAILED, "kept")
    assert starts(container) == 2
    assert container.directories.workspace.exists()
    assert desk.changed(worker, "removed") is None


async def test_superseded_without_its_spool__is_kept(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start(supersede_deadline_seconds=1)
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    (home_of(container) / "phase").write_text("failed")
    (container.directories.spool / "spool.json").unlink()
    desk.verdicts[worker.worker_id] = "superseded"
    await until(lambda: (s := desk.reported(worker)) and s.state is WorkerState.FAILED, "kept")
    assert container.directories.workspace.exists()


async def test_idle__is_stopped_when_released_and_removed_later(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    desk.idle_after = 0.3
    first = await start()
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    await until(lambda: desk.changed(worker, "stopped"), "stopped")
    assert desk.stops[0][1].drain is False
    assert (await container_of(backend, worker)).state is ContainerState.EXITED
    assert container.directories.workspace.exists()
    assert starts(container) == 1
    beats = len(desk.beats)
    await until(lambda: len(desk.beats) > beats + 5, "a while")
    assert desk.changed(worker, "removed") is None
    await first.kill()
    desk.remove_after = 0.1  # since it stopped: the next manager is told so
    await start()
    await until(lambda: desk.changed(worker, "removed"), "removed")
    assert not container.directories.workspace.exists()


async def test_idle_but_not_granted__goes_on(start: Start, desk: Desk) -> None:
    desk.idle_after, desk.grant_stops = 0.2, False
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    await until(lambda: len(desk.stops) >= 3, "asked again")
    assert desk.changed(worker, "stopped") is None


async def test_full__the_longest_idle_makes_room(start: Start, desk: Desk) -> None:
    await start(max_workers="2", idle_after_when_full_seconds="0.3")
    first, second = desk.offer(), desk.offer()
    await desk.ready(first)
    await desk.ready(second)
    third = desk.offer()
    await desk.ready(third)
    # its place was free before this was said
    await until(lambda: any(desk.changed(one, "stopped") for one in (first, second)), "stopped")


async def test_unknown__is_listed_and_left_alone(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    first = await start()
    worker = desk.offer()
    await desk.ready(worker)
    pid = executor_pid(await container_of(backend, worker))
    await first.kill()
    desk.live.clear()
    desk.beats.clear()
    second = await start()
    await until(lambda: len(desk.beats) > 3 and desk.reported(worker), "listed")
    await until(lambda: "worker_unknown" in second.log, "told")
    assert executor_pid(await container_of(backend, worker)) == pid


async def test_unknown__is_left_alone_by_a_drain_which_does_not_wait_for_it(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    first = await start()
    worker = desk.offer()
    await desk.ready(worker)
    pid = executor_pid(await container_of(backend, worker))
    await first.kill()
    desk.live.clear()
    second = await start(drain_on_stop="true", drain_deadline_seconds=600)
    await until(lambda: "worker_unknown" in second.log, "told")
    assert await second.kill(signal.SIGTERM) == 0
    assert executor_pid(await container_of(backend, worker)) == pid
    assert desk.stops == []


async def test_unknown_and_gone__takes_no_place_any_more(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    """Ended and removed by hand, as its alert says; nobody starts it again meanwhile."""
    first = await start()
    worker = desk.offer()
    await desk.ready(worker)
    await first.kill()
    known = dict(desk.live)
    desk.live.clear()
    second = await start(max_workers=1, claim_wait_seconds=1)
    await until(lambda: "worker_unknown" in second.log, "told")
    container = await container_of(backend, worker)
    await backend.stop(container.name, 0)
    beats = len(desk.beats)
    await until(lambda: len(desk.beats) > beats + 5, "supervised")
    assert starts(container) == 1
    await backend.remove(container.name)
    await until(lambda: desk.reported(worker) is None, "forgotten")
    await desk.ready(desk.offer())
    assert known.keys().isdisjoint(desk.live)


async def test_remove_of_a_worker_that_is_nowhere__is_done(start: Start, desk: Desk) -> None:
    await start()
    worker = desk.offer()
    desk.queue.clear()
    command = desk.command(worker, "remove", forced=True)
    await until(lambda: command in desk.done, "done")
    assert desk.changed(worker, "removed")


async def test_removes_that_come_together__are_all_done(start: Start, desk: Desk) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    for _ in range(2):
        desk.command(worker, "remove", forced=True)
    await until(lambda: not desk.commands, "both are acknowledged")
    assert desk.changed(worker, "removed")
