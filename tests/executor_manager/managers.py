"""A manager as a real process, and a small real HTTP app where the control plane would be."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec
from aiohttp import web

from chassis.ids import new_id
from contracts.egress import EgressPolicy
from contracts.errors import Code, Problem
from contracts.managers import (
    AskStop,
    Claim,
    Claimed,
    ClaimedRun,
    Commands,
    Heartbeat,
    HeartbeatAnswer,
    Orders,
    PollCommands,
    Register,
    Registered,
    StopAnswer,
    WorkerChange,
    WorkerChanged,
    WorkerCommand,
    WorkerReportedState,
    WorkerVerdict,
)
from contracts.tickets import Redeemed, RedeemTicket
from contracts.workers import WorkerGrant
from executor_manager.containers import keeping, places
from executor_manager.containers.backend import Container, Identity
from executor_manager.containers.process import ProcessBackend

STANDIN = Path(__file__).parent / "standin"
KEY = "bsk_manager_canary"


async def until(seen: Callable[[], object], what: str = "", deadline: float = 40) -> Any:
    try:
        async with asyncio.timeout(deadline):
            while not (found := seen()):  # noqa: ASYNC110  # it happens in other processes
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {deadline} s: {what or seen}") from None


def grant() -> WorkerGrant:
    return WorkerGrant(
        worker_id=new_id(), session_id=new_id(), project_id=new_id(), epoch=1, token="bwt_canary"
    )


@dataclass
class Desk:
    """The control plane's part of the conversation; a test reads and steers it."""

    registrations: list[Register] = field(default_factory=list)
    incarnation: int = 0
    live: dict[UUID, WorkerGrant] = field(default_factory=dict)
    queue: list[ClaimedRun] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    given: dict[UUID, list[ClaimedRun]] = field(default_factory=dict)
    lose_claims: int = 0
    """Answers to claims that get lost after their work was done."""
    beats: list[Heartbeat] = field(default_factory=list)
    verdicts: dict[UUID, str] = field(default_factory=dict)
    egress: dict[UUID, tuple[EgressPolicy, str]] = field(default_factory=dict)
    """Policies that changed, with their versions."""
    commands: list[WorkerCommand] = field(default_factory=list)
    done: list[UUID] = field(default_factory=list)
    changes: list[tuple[UUID, WorkerChange]] = field(default_factory=list)
    stops: list[tuple[UUID, AskStop]] = field(default_factory=list)
    grant_stops: bool = True
    callbacks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(Authorization, body), as the relay brought them."""
    tickets: dict[str, Redeemed] = field(default_factory=dict)
    """Each is good for one redemption."""
    idle_after: float = 1000.0
    remove_after: float = 1000.0
    orders: Orders = field(default_factory=Orders)
    """What administrators want."""
    port: int = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        manager = "/internal/v1/managers/{manager_id}"
        app.router.add_post("/internal/v1/managers/register", self._register)
        app.router.add_post(f"{manager}/heartbeat", self._guarded(Heartbeat, self._heartbeat))
        app.router.add_post(f"{manager}/claim", self._guarded(Claim, self._claim))
        app.router.add_post(f"{manager}/tickets/redeem", self._guarded(RedeemTicket, self._redeem))
        app.router.add_post(f"{manager}/commands", self._guarded(PollCommands, self._poll))
        worker = f"{manager}/workers/{{worker_id}}"
        app.router.add_post(f"{worker}/change", self._guarded(WorkerChange, self._change))
        app.router.add_post(f"{worker}/stop", self._guarded(AskStop, self._stop))
        app.router.add_post("/internal/v1/workers/{worker_id}/callbacks", self._callback)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def offer(self, given: WorkerGrant | None = None, *, fresh: bool = True) -> WorkerGrant:
        """Queues a run for a worker."""
        worker = given or grant()
        run = ClaimedRun(run_id=new_id(), attempt=1, worker=worker, fresh_worker=fresh)
        self.queue.append(run)
        return worker

    def command(self, worker: WorkerGrant, kind: str, **fields: object) -> UUID:
        command = {"type": kind, "id": str(new_id()), **fields}
        told = {"worker_id": str(worker.worker_id), "epoch": worker.epoch, "command": command}
        self.commands.append(msgspec.convert(told, WorkerCommand))
        return UUID(str(command["id"]))

    def changed(self, worker: WorkerGrant, change: str) -> WorkerChange | None:
        return next(
            (c for w, c in self.changes if w == worker.worker_id and c.change == change), None
        )

    def reported(self, worker: WorkerGrant) -> WorkerReportedState | None:
        """As the newest heartbeat has it."""
        newest = self.beats[-1].workers if self.beats else []
        return next((w for w in newest if w.worker_id == worker.worker_id), None)

    async def ready(self, worker: WorkerGrant) -> None:
        await until(lambda: self.changed(worker, "ready"), f"ready: {self.changes}", 60)

    def _guarded(
        self, kind: type[Any], work: Callable[[web.Request, Any], Awaitable[msgspec.Struct]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            assert request.headers["Authorization"] == f"Bearer {KEY}"
            body = msgspec.json.decode(await request.read(), type=kind)
            if body.incarnation != self.incarnation:
                return _problem(409, Code.STALE_INCARNATION)
            return _json(await work(request, body))

        return handle

    async def _register(self, request: web.Request) -> web.Response:
        self.registrations.append(msgspec.json.decode(await request.read(), type=Register))
        self.incarnation += 1
        workers = [
            msgspec.structs.replace(one, token=f"{one.token}{self.incarnation}")
            for one in self.live.values()
        ]
        return _json(
            Registered(
                incarnation=self.incarnation,
                workers=workers,
                lease_seconds=5,
                heartbeat_seconds=0.1,
                outage_grace_seconds=60,
                idle_after_seconds=self.idle_after,
                remove_after_seconds=self.remove_after,
                orders=self.orders,
            )
        )

    async def _heartbeat(self, _request: web.Request, beat: Heartbeat) -> HeartbeatAnswer:
        self.beats.append(beat)
        return HeartbeatAnswer(
            workers=[
                WorkerVerdict(
                    worker_id=one.worker_id,
                    verdict=self._verdict(one.worker_id),
                    egress=policy,
                    egress_version=version,
                )
                for one in beat.workers
                for policy, version in [self.egress.get(one.worker_id, (None, ""))]
            ],
            orders=self.orders,
        )

    async def _claim(self, request: web.Request, claim: Claim) -> Claimed:
        self.claims.append(claim)
        ends = asyncio.get_running_loop().time() + claim.wait_seconds
        while claim.claim_id not in self.given:
            if claim.incarnation != self.incarnation:
                return Claimed(runs=[])  # of a manager that was killed: nobody would hear it
            if self.queue and claim.free:
                self.given[claim.claim_id] = [self.queue.pop(0)]
            elif asyncio.get_running_loop().time() > ends:
                return Claimed(runs=[])
            else:
                await asyncio.sleep(0.01)
        for run in self.given[claim.claim_id]:
            self.live[run.worker.worker_id] = run.worker
        if self.lose_claims:
            self.lose_claims -= 1
            assert request.transport is not None
            request.transport.abort()
        return Claimed(runs=self.given[claim.claim_id])

    async def _poll(self, _request: web.Request, poll: PollCommands) -> Commands:
        self.done += poll.done
        self.commands = [c for c in self.commands if c.command.id not in self.done]
        ends = asyncio.get_running_loop().time() + poll.wait_seconds
        while not self.commands and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110  # a test appends
            await asyncio.sleep(0.01)
        return Commands(commands=self.commands)

    async def _change(self, request: web.Request, change: WorkerChange) -> WorkerChanged:
        worker_id = UUID(request.match_info["worker_id"])
        self.changes.append((worker_id, change))
        if change.change in {"failed", "removed"}:
            self.live.pop(worker_id, None)
            self.verdicts.setdefault(worker_id, "superseded")
        return WorkerChanged(verdict=self._verdict(worker_id))

    async def _stop(self, request: web.Request, ask: AskStop) -> StopAnswer:
        worker_id = UUID(request.match_info["worker_id"])
        self.stops.append((worker_id, ask))
        if self.grant_stops and not any(c.worker_id == worker_id for c in self.commands):
            self.command(self.live[worker_id], "stop")
        return StopAnswer(granted=self.grant_stops)

    async def _redeem(self, _request: web.Request, body: RedeemTicket) -> Redeemed:
        if body.ticket not in self.tickets:
            told = Problem(title="no", status=403, code=Code.TICKET_INVALID)
            raise web.HTTPForbidden(body=msgspec.json.encode(told))
        return self.tickets.pop(body.ticket)

    async def _callback(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.callbacks.append((request.headers["Authorization"], body))
        if "stopped" in body:
            worker_id = UUID(request.match_info["worker_id"])
            self.live.pop(worker_id, None)
            self.verdicts[worker_id] = "released"
        return web.json_response({})

    def _verdict(self, worker_id: UUID) -> Any:
        known = worker_id in self.live
        return self.verdicts.get(worker_id, "current" if known else "unknown")


def _json(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


def _problem(status: int, code: Code) -> web.Response:
    body = Problem(title="no", status=status, code=code)
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/problem+json"
    )


class Manager:
    """`python -m executor_manager` on `state_dir`, whose executors are the stand-in's."""

    def __init__(self, state_dir: Path, desk: Desk, **settings: object) -> None:
        self.state_dir = state_dir
        self.log_path = state_dir.parent / "manager.log"
        paths = os.pathsep.join([str(STANDIN), *sys.path])
        self.environment = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "BERTH_STATE_DIR": str(state_dir),
            "BERTH_CONTROL_PLANE_URL": desk.url,
            "BERTH_OBJECT_STORE_URL": desk.url,
            "BERTH_SERVICE_KEY": KEY,
            "BERTH_PORT": "0",
            "BERTH_EXECUTOR_ENV_JSON": json.dumps({"PYTHONPATH": paths}),
            "BERTH_STATUS_INTERVAL_SECONDS": "0.05",
            "BERTH_SUPERVISION_INTERVAL_SECONDS": "0.1",
            "BERTH_IDLE_INTERVAL_SECONDS": "0.1",
            "BERTH_RELAY_INTERVAL_SECONDS": "0.1",
            "BERTH_RESTART_BACKOFF_SECONDS": "0.05",
            "BERTH_ANSWERED_WITHIN_SECONDS": "1",
            "BERTH_STOP_GRACE_SECONDS": "2",
            **{f"BERTH_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "executor_manager",
            env=self.environment,
            stderr=self.log_path.open("ab"),
        )

    async def kill(self, number: int = signal.SIGKILL, deadline: float = 40) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(deadline):
            return await self.process.wait()

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    async def address(self) -> str:
        """Of its own HTTP app, once it listens."""
        found = await until(lambda: re.search(r'"address":"([^"]+)"', self.log), "serving")
        return f"http://{found[1]}"


def name_of(worker: WorkerGrant) -> str:
    return Identity(
        worker_id=worker.worker_id,
        session_id=worker.session_id,
        project_id=worker.project_id,
        epoch=worker.epoch,
    ).name


async def container_of(backend: ProcessBackend, worker: WorkerGrant) -> Container:
    found = await backend.get(name_of(worker))
    assert found is not None
    return found


def starts(container: Container) -> int:
    return len((container.directories.workspace / "starts").read_text().splitlines())


def home_of(container: Container) -> Path:
    return places.home(container.directories.workspace.parent)


def executor_pid(container: Container) -> int:
    seen = keeping.executor_seen(container.directories.workspace.parent)
    assert seen is not None
    return seen.process.pid


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def until_answered(desk: Desk, worker: WorkerGrant) -> None:
    await until(lambda: (seen := desk.reported(worker)) and seen.answered, "answered")


Start = Callable[..., Awaitable[Manager]]
"""Starts a manager; settings by keyword."""
