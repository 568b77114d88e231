"""The manager's starts, claims and ends: real processes and sockets, broken on purpose."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from chassis.ids import new_id
from contracts.workers import WorkerState
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.process import ProcessBackend
from tests.executor_manager.managers import (
    KEY,
    Desk,
    Manager,
    Start,
    container_of,
    environment,
    executor_pid,
    starts,
    until,
    until_answered,
)
from tests.executor_manager.relays import Relay


async def test_a_claimed_run__gets_a_worker_that_is_ready_takes_commands_and_calls_back(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    change = desk.changed(worker, "ready")
    assert change is not None
    assert [step.step for step in change.steps] == ["create", "relay", "start", "boot"]
    assert {step.reason for step in change.steps} == {""}
    assert desk.registrations[0].isolation["memory_limit"] is False
    assert desk.registrations[0].agents[0].agent == "scripted"
    assert desk.registrations[0].agents[1].missing == "node: install it"
    assert desk.claims[0].agents == ["scripted"]
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    command = desk.command(worker, "start", run=run)
    await until(lambda: command in desk.done, "acknowledged")
    authorization, body = desk.callbacks[0]
    assert (authorization, body) == ("Bearer bwt_canary", {"started": str(command)})
    await until(lambda: (s := desk.reported(worker)) and s.state is WorkerState.BUSY, "busy")
    container = await container_of(backend, worker)
    environ = environment(executor_pid(container))
    assert b"bwt_canary" not in environ
    assert KEY.encode() not in environ


async def test_killed_and_started_again__adopts_what_runs(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    first = await start()
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    pid = executor_pid(container)
    await first.kill()
    await start()
    await until(lambda: desk.incarnation == 2, "registered again")
    desk.beats.clear()
    await until_answered(desk, worker)
    assert executor_pid(container) == pid
    assert starts(container) == 1
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    desk.command(worker, "start", run=run)
    await until(lambda: desk.callbacks, "a callback")
    # the relay lived on, and has the fresh token
    assert desk.callbacks[0][0] == "Bearer bwt_canary2"


async def test_started_again_while_the_relay_is_away__ends_nothing(
    start: Start, desk: Desk, backend: ProcessBackend, short_dir: Path
) -> None:
    first = await start()
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    pid = executor_pid(container)
    await first.kill()
    desk.changes.clear()
    await start(relay_admin_socket=short_dir / "nowhere", activate_deadline_seconds=1)
    await until(lambda: desk.changes, "taken over, or given up")
    assert desk.changed(worker, "ready")
    assert executor_pid(container) == pid


@pytest.mark.parametrize("place", ["startup.created", "startup.started", "activation.ready"])
async def test_killed_while_it_activates__never_makes_a_second_process(
    start: Start, desk: Desk, backend: ProcessBackend, place: str
) -> None:
    first = await start(failpoints=f"{place}=kill9")
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await start()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    assert container.state is ContainerState.RUNNING
    await until((container.directories.workspace / "starts").exists)
    await until(lambda: starts(container), "what it made is written")
    assert starts(container) == 1


async def test_killed_between_spawning_and_knowing__never_makes_a_second_process(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    first = await start(failpoints="process.after_spawn=kill9")
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await start()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    await until((container.directories.workspace / "starts").exists)
    await until(lambda: starts(container), "what it made is written")
    assert starts(container) == 1


async def test_killed_after_a_claim__reports_the_worker_that_it_does_not_have(
    start: Start, desk: Desk
) -> None:
    first = await start(failpoints="claim.answered=kill9")
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await start()
    await until(lambda: desk.changed(worker, "failed"), "failed")
    change = desk.changed(worker, "failed")
    assert change is not None
    assert change.reason == "container_missing"


async def test_a_lost_answer_of_a_claim__is_asked_for_again_by_its_id(
    start: Start, desk: Desk, backend: ProcessBackend
) -> None:
    desk.lose_claims = 7  # more than the client's own attempts
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    ids = [claim.claim_id for claim in desk.claims if claim.claim_id in desk.given]
    assert len(ids) >= 8
    assert len(set(ids)) == 1
    assert len((await backend.list()).containers) == 1


async def test_a_full_host__claims_when_a_worker_is_gone(start: Start, desk: Desk) -> None:
    await start(max_workers=1, claim_wait_seconds=30)
    first = desk.offer()
    await desk.ready(first)
    await until(lambda: desk.claims[-1].free == 0, "no room")
    second = desk.offer()
    desk.command(first, "remove", forced=True)
    await desk.ready(second)


async def test_relay_killed__is_started_and_told_everything_again(
    start: Start, desk: Desk, short_dir: Path
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    pid_file = short_dir / "s" / "relay" / "relay.pid"
    former = int(pid_file.read_text())
    os.kill(former, signal.SIGKILL)
    await until(lambda: pid_file.read_text().strip() not in {"", str(former)}, "a new relay")
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    # the stand-in does not try again, so the socket must be there first
    relay = Relay(short_dir / "s" / "relay")
    async with asyncio.timeout(20), relay.admin:
        while (await relay.listing()).workers != [worker.worker_id]:  # noqa: ASYNC110  # a process
            await asyncio.sleep(0.02)
    desk.command(worker, "start", run=run)
    await until(lambda: desk.callbacks, "a callback")
    assert desk.callbacks[0][0] == "Bearer bwt_canary"


async def test_superseded_incarnation__registers_again_and_goes_on(
    start: Start, desk: Desk
) -> None:
    await start()
    worker = desk.offer()
    await desk.ready(worker)
    desk.incarnation += 5
    await until(lambda: len(desk.registrations) == 2, "registered again")
    desk.beats.clear()
    await until_answered(desk, worker)


async def test_control_plane_away_at_start__is_waited_for(start: Start, desk: Desk) -> None:
    async with Desk() as other:
        port = other.port
    desk.port, late = port, Desk(port=port)
    await start()
    async with late:
        await until(lambda: late.registrations, "registered")


async def test_terminated_without_a_drain__leaves_executors_and_relay(
    start: Start, desk: Desk, backend: ProcessBackend, short_dir: Path
) -> None:
    manager = await start()
    worker = desk.offer()
    await desk.ready(worker)
    assert await manager.kill(signal.SIGTERM) == 0
    container = await container_of(backend, worker)
    assert container.state is ContainerState.RUNNING
    assert (short_dir / "s" / "relay" / "a" / "admin.sock").is_socket()
    os.kill(int((short_dir / "s" / "relay" / "relay.pid").read_text()), 0)


async def test_terminated_with_a_drain__everything_is_released_and_ended(
    start: Start, desk: Desk, backend: ProcessBackend, short_dir: Path
) -> None:
    manager = await start(drain_on_stop="true")
    worker = desk.offer()
    await desk.ready(worker)
    relay = int((short_dir / "s" / "relay" / "relay.pid").read_text())
    assert await manager.kill(signal.SIGTERM) == 0
    assert desk.stops[0][1].drain is True
    assert desk.beats[-1].draining
    assert desk.changed(worker, "stopped")
    assert (await container_of(backend, worker)).state is ContainerState.EXITED
    with pytest.raises(ProcessLookupError):
        os.kill(relay, 0)


async def test_a_second_manager__refuses_to_start_on_the_same_directory(
    start: Start, desk: Desk
) -> None:
    first = await start()
    await until(lambda: desk.registrations, "registered")
    second = await start()
    assert second.process is not None
    assert await asyncio.wait_for(second.process.wait(), 60) == 1
    assert first.process is not None
    assert f"another executor-manager (pid {first.process.pid}) uses" in second.log


async def test_the_identity__is_kept(start: Start, desk: Desk) -> None:
    first = await start()
    await until(lambda: len(desk.registrations) == 1, "registered")
    await first.kill()
    await start()
    await until(lambda: len(desk.registrations) == 2, "registered again")
    assert desk.registrations[0].manager_id == desk.registrations[1].manager_id


async def test_a_state_directory_that_is_too_long__is_refused_at_the_start(
    short_dir: Path, desk: Desk
) -> None:
    manager = Manager(short_dir / ("d" * 80) / "s", desk)
    manager.log_path = short_dir / "manager.log"
    await manager.start()
    assert manager.process is not None
    assert await asyncio.wait_for(manager.process.wait(), 60) == 1
    assert "bytes shorter" in manager.log


async def test_its_own_api__says_how_it_is_and_what_is_not_isolated(
    start: Start, desk: Desk
) -> None:
    manager = await start()
    url = await manager.address()
    await until(lambda: desk.beats, "registered")
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        assert (await http.get("/healthz")).status_code == 200
        await desk.ready(desk.offer())
        ready = await http.get("/readyz")
        assert ready.json()["checks"] == ["control_plane", "relay", "container_backend"]
        assert (await http.get("/api/v1/version")).json()["service"] == "executor_manager"
        told = (await http.get("/api/v1/backend")).json()
        assert told["kind"] == "process"
        assert told["capabilities"]["memory_limit"] is False
        assert any("Memory" in lack for lack in told["capabilities"]["not_isolated"])
        assert "berth_startup_step_seconds" in (await http.get("/metrics")).text
