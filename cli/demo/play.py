"""The demo's acts. Each claim is checked by a witness that is not the one who claims it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from cli.client import ApiClient
from cli.demo.scenario import Scenario
from cli.demo.turn import DemoFailed, Turn, take_turn
from cli.demo.witnesses import AGENT_DATA, Place, find_place
from cli.output import Output
from cli.printer import Printer
from cli.stream import RunStream
from contracts.events import HumanLoopRequested, RunStarted, TodoUpdate, WorkspaceRestored
from contracts.human_loop import Replied, Reply
from contracts.log import LogPage
from contracts.projects import AuditPage
from contracts.runs import CreateRun, Run, SendMessage
from contracts.session_workers import (
    RemovalRequested,
    RemoveSessionWorker,
    SessionWorker,
    SessionWorkerPage,
)
from contracts.sessions import Session

TURN_SECONDS = 120.0
GONE_SECONDS = 60.0
LOOK_EVERY = 0.1


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's last line."""

    ok: bool
    run_state: str
    events: int
    first_event_ms: int
    resumed: str
    snapshot: str


class Play:
    def __init__(
        self, client: ApiClient, *, home: Path, scenario: Scenario, output: Output
    ) -> None:
        self._client = client
        self._home = home
        self._scenario = scenario
        self._output = output
        self._printer = Printer(output)
        self._approvals = 0

    async def play(self) -> Summary:
        first, session_id = await self._first_turn()
        former = self._place(first.worker_id)
        digest = await asyncio.to_thread(self._inspect_first, first, former)
        await self._committed(first, session_id)
        await self._remove(first, session_id, former)
        await self._audited(first)
        second = await self._second_turn(session_id)
        await self._restored(first, session_id)
        await asyncio.to_thread(self._inspect_second, first, second, digest)
        run = await self._client.get(f"/api/v1/runs/{second.seen[-1].entry.run_id}", Run)
        check(run.state == "succeeded", f"the API says that the second run is {run.state}")
        return Summary(
            ok=True,
            run_state=str(run.state),
            events=len(first.seen) + len(second.seen),
            first_event_ms=first.first_delta_ms or 0,
            resumed=str(second.last(RunStarted).resume),
            snapshot=str(first.snapshot_id),
        )

    # The first turn: a plan, a file, an approval

    async def _first_turn(self) -> tuple[Turn, UUID]:
        self._say(f"1. A message to the agent {self._scenario.agent}, its answer as it comes")
        message = CreateRun(
            text=self._scenario.first,
            agent=self._scenario.agent,
            title="A voyage",
            options=self._scenario.options,
        )
        stream = RunStream(self._client, message=message)
        turn = await self._within(take_turn(stream, self._printer, self._approve))
        check(stream.session_id is not None, "no session was named")
        return turn, stream.session_id or UUID(int=0)

    async def _approve(self, request: HumanLoopRequested, worker_id: UUID) -> None:
        guarded = self._place(worker_id).file(self._scenario.guarded_file)
        check(not guarded.exists(), "the command ran before it was approved")
        path = f"/api/v1/human-loop/{request.request_id}/reply"
        replied = await self._client.post(path, Replied, Reply(decision="allow"))
        check(not replied.duplicate, "somebody else had answered the request")
        self._approvals += 1

    def _inspect_first(self, turn: Turn, place: Place) -> str:
        """Gives the kept file's hash."""
        wanted = self._scenario
        state = turn.last_state
        check(state == "succeeded", f"the first run ended as {state}")
        check(turn.first_delta_ms is not None, "the agent said nothing")
        check(self._approvals == 1, f"{self._approvals} approvals were asked, not 1")
        plan = turn.last(TodoUpdate).entries
        check(all(entry.status == "completed" for entry in plan), "the plan is not completed")
        lines = place.file(wanted.guarded_file).read_text().splitlines()
        check(len(lines) == 1, f"the approved command ran {len(lines)} times")
        content = place.file(wanted.kept_file).read_bytes()
        self._say(f"The file {wanted.kept_file} that it wrote")
        self._output.line(content.decode().rstrip())
        check(content.decode() == wanted.kept_content, f"{wanted.kept_file} is another")
        return hashlib.sha256(content).hexdigest()

    # Worker and volume go, after the commit

    async def _committed(self, turn: Turn, session_id: UUID) -> None:
        session = await self._client.get(f"/api/v1/sessions/{session_id}", Session)
        check(turn.snapshot_id is not None, "the first run left no snapshot")
        check(session.head_snapshot_id == turn.snapshot_id, "the snapshot is not the head")

    async def _remove(self, turn: Turn, session_id: UUID, place: Place) -> None:
        self._say("2. Its worker and volume are removed by force; the session stays")
        listed = {worker.id for worker in await self._workers(session_id)}
        check(turn.worker_id in listed, "the worker is not in the list")
        processes = place.processes()
        check(bool(processes), "the worker has no process")
        path = f"/api/v1/session-workers/{session_id}/remove"
        asked = await self._client.post(path, RemovalRequested, RemoveSessionWorker(force=True))
        check(asked.worker_id == turn.worker_id, "another worker is being removed")

        async def gone() -> bool:
            listed = {worker.id for worker in await self._workers(session_id)}
            alive = any(process.alive() for process in processes)
            return turn.worker_id not in listed and not alive and not place.folder.exists()

        await eventually(gone, "the removed worker is still there")
        self._output.line(f"worker {turn.worker_id} is gone: no process, no directory", "dim")

    async def _audited(self, turn: Turn) -> None:
        page = await self._client.get("/api/v1/audit", AuditPage)
        forced = [
            entry
            for entry in page.items
            if entry.action == "session_worker.remove" and entry.detail.get("forced") is True
        ]
        targets = [entry.target for entry in forced]
        check(targets == [str(turn.worker_id)], "the removal does not stand in the audit")

    async def _workers(self, session_id: UUID) -> list[SessionWorker]:
        page = await self._client.get(
            "/api/v1/session-workers", SessionWorkerPage, session_id=session_id
        )
        return page.items

    # The second turn: another worker, the same session

    async def _second_turn(self, session_id: UUID) -> Turn:
        self._say("3. The next message: a new worker, the same files, the same conversation")
        message = SendMessage(text=self._scenario.second, options=self._scenario.options)
        stream = RunStream(self._client, message=message, session_id=session_id)
        return await self._within(take_turn(stream, self._printer))

    async def _within(self, turn: Coroutine[Any, Any, Turn]) -> Turn:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                return await turn
        except TimeoutError as error:
            raise DemoFailed(f"no end of the run within {TURN_SECONDS:g} s") from error

    async def _restored(self, first: Turn, session_id: UUID) -> None:
        """What a worker does without a run stands in the session's log, not in the run's."""
        page = await self._client.get(
            f"/api/v1/sessions/{session_id}/events", LogPage, kind="workspace.restored", limit=200
        )
        found = [one.event for one in page.items if isinstance(one.event, WorkspaceRestored)]
        restored = [event.snapshot_id for event in found if event.snapshot_id is not None]
        check(restored == [first.snapshot_id], f"what was restored is {restored}")

    def _inspect_second(self, first: Turn, second: Turn, digest: str) -> None:
        wanted = self._scenario
        state = second.last_state
        check(state == "succeeded", f"the second run ended as {state}")
        resumed = second.last(RunStarted)
        check(resumed.resume == "native", f"resumed as {resumed.resume} {resumed.resume_reason}")
        check(second.worker_id != first.worker_id, "it is the same worker")
        check(second.epoch > first.epoch, "its epoch is not higher")
        check(wanted.nonce not in wanted.second, "the second message holds the answer")
        check(wanted.nonce in second.text, "the agent does not know what it was told")
        place = self._place(second.worker_id)
        check(place.digest(wanted.kept_file) == digest, f"{wanted.kept_file} has changed")
        holders = place.holders(wanted.nonce)
        store = f"{AGENT_DATA}/{wanted.agent}/"
        check(bool(holders), "the agent's own store does not hold what it was told")
        strays = sorted(name for name in holders if not name.startswith(store))
        check(not strays, f"what it was told stands in {', '.join(strays)} as well")

    def _place(self, worker_id: UUID) -> Place:
        place = find_place(self._home, worker_id)
        if place is None:
            raise DemoFailed(f"worker {worker_id} has no directory")
        return place

    def _say(self, text: str) -> None:
        self._output.line(f"\n{text}", "bold")


async def eventually(holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    for _ in range(round(GONE_SECONDS / LOOK_EVERY)):
        if await holds():
            return
        await asyncio.sleep(LOOK_EVERY)
    raise DemoFailed(otherwise)


def check(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not holds:
        raise DemoFailed(otherwise)
