"""A container's life, by the engine's own lists and the store's own bytes."""

import contextlib
import secrets
from uuid import UUID

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from contracts.human_loop import Reply
from contracts.jobs import Job
from contracts.session_workers import PatchSessionWorker
from contracts.snapshots import SnapshotPage
from tests.e2e.cases import Case, Scene
from tests.e2e.cases_approval import LEDGER as APPROVED
from tests.e2e.cases_approval import asked, asks, reply
from tests.e2e.cases_conversation import label
from tests.e2e.client import send_timed
from tests.e2e.engine import threaded
from tests.e2e.snapshots import head, snapshot
from tests.e2e.stack import LEASE, Stack
from tests.e2e.voyages import KEPT, KEPT_CONTENT, MOMENTS, Voyage, arrived
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

MIB = 1024 * 1024
WITHIN = LEASE + 60


class Lifecycle:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    async def settled(self, scene: Scene, *steps: dict[str, object]) -> tuple[UUID, Container]:
        shadow, taken = await send_timed(scene.visitor, scene.api, script(*steps))
        scene.figures.add("activation", taken)
        session = (await scene.visitor.succeeded(shadow)).session_id
        return session, await self.engine.session(session)

    async def gone(self, container: Container) -> None:
        async def is_gone() -> bool:
            try:
                await threaded(container.reload)
            except NotFound:
                return True
            return False

        await eventually(is_gone, f"{container.name} is not removed", within=WITHIN)

    async def exited(self, container: Container) -> None:
        async def has() -> bool:
            try:
                await threaded(container.reload)
            except NotFound:
                return True
            return container.status == "exited"

        await eventually(has, f"{container.name} is not stopped", within=WITHIN)

    async def idle(self, scene: Scene) -> None:
        """Stopped for being idle, then removed: never before its last write is committed. Resumed
        in another container, natively, file by file.
        """
        nonce = secrets.token_hex(8)
        session, former = await self.settled(
            scene,
            {"remember": {"key": "NONCE", "value": nonce}},
            {"write": {"path": "last", "content": nonce}},
        )
        await self.exited(former)
        saved = await head(self.stack, session)
        assert saved is not None, "stopped before it was saved"
        assert saved.files["last"] == nonce.encode()
        await self.gone(former)
        again, taken = await send_timed(
            scene.visitor, scene.api, script({"recall": "NONCE"}), session=session
        )
        scene.figures.add("resume", taken)
        await scene.visitor.succeeded(again)
        assert label(again) == "native"
        later = await self.engine.session(session)
        assert later.id != former.id
        assert await self.engine.file(later, "/workspace/last") == nonce.encode()
        assert len(await self.engine.sessions(session)) == 1

    async def limits(self, scene: Scene) -> None:
        """What PATCH was told is what the engine has set."""
        session = (await scene.api.session()).id
        wanted = PatchSessionWorker(cpus=0.5, memory_mib=192, pids=77)
        await scene.api.limits(session, wanted)
        shadow = await scene.visitor.send(script({"text": "here"}), session=session)
        await scene.visitor.succeeded(shadow, within=60)
        made = (await self.engine.inspect(await self.engine.session(session)))["HostConfig"]
        assert (made["Memory"], made["MemorySwap"]) == (192 * MIB, 192 * MIB)
        assert (made["NanoCpus"], made["PidsLimit"]) == (500_000_000, 77)

    async def approval(self, scene: Scene) -> None:
        """By the engine before, by the store after."""
        answers = ((Reply(decision="reject"), []), (Reply(decision="allow"), ["effect"]))
        for answer, expected in answers:
            shadow = await scene.visitor.send(script(asks("effect"), {"text": "on\n"}))
            request = await asked(shadow)
            session = scene.visitor.session_of(shadow)
            container = await self.engine.session(session)
            assert await self.engine.file(container, f"/workspace/{APPROVED}") is None
            await reply(scene, request.request_id, answer)
            await scene.visitor.succeeded(shadow)
            saved = await head(self.stack, session)
            assert saved is not None
            assert saved.lines(APPROVED) == expected

    async def superseded(self, scene: Scene) -> None:
        """Frozen beyond its lease: another goes on. Awake again it saves aside, and goes."""
        voyage = Voyage("stream", 7, long=24.0)
        shadow = await scene.visitor.send(voyage.prompt)
        await shadow.until(voyage.under_way)
        await shadow.kind("workspace.saved", within=60)
        session = scene.visitor.session_of(shadow)
        former = await self.engine.session(session)
        await threaded(former.pause)
        try:
            await shadow.kind("run.claimed", count=2, within=WITHIN)
        finally:
            with contextlib.suppress(APIError):  # its manager woke it up
                await threaded(former.unpause)
        run = await arrived(scene, self.stack, shadow, within=WITHIN)
        assert run.attempt == 2
        assert (await self.engine.session(session)).id != former.id
        await self.gone(former)
        page = await scene.api.get(f"/api/v1/sessions/{session}/snapshots", SnapshotPage)
        aside = [one for one in page.items if one.type == "side"]
        assert aside, [one.type for one in page.items]
        saved = await snapshot(self.stack, aside[0].id)
        assert saved.files[KEPT] == KEPT_CONTENT.encode()
        assert saved.lines("effects.txt") == ["before"]

    async def cleanup(self, scene: Scene) -> None:
        """One is kept warm, one is idle: a pass stops the idle one, and counts both."""
        warm, stays = await self.settled(scene, {"text": "warm"})
        await scene.api.limits(warm, PatchSessionWorker(keep_warm=True))
        _, goes = await self.settled(scene, {"text": "idle"})
        done = await self.job(scene, "/api/v1/session-workers/cleanup/idle")
        assert done.counts.get("kept_warm", 0) >= 1, done.counts
        assert done.counts.get("stopped", 0) >= 1, done.counts
        await self.exited(goes)
        done = await self.job(scene, "/api/v1/session-workers/cleanup/stopped")
        assert done.counts.get("failed", 0) == 0, done.counts
        await self.gone(goes)
        await threaded(stays.reload)
        assert stays.status == "running"
        for kind in ("runs", "sync"):
            done = await self.job(scene, f"/api/v1/reconcile/{kind}")
            assert done.counts.get("failed", 0) == 0, done.counts
        await scene.api.limits(warm, PatchSessionWorker(keep_warm=False))

    async def job(self, scene: Scene, path: str) -> Job:
        job = await scene.api.post(path, Job)

        async def done() -> Job | None:
            found = await scene.api.get(f"/api/v1/jobs/{job.id}", Job)
            return found if found.state == "done" else None

        return await eventually(done, f"{path} does not end", within=60)

    async def agentless(self, scene: Scene) -> None:
        """Canceled in its text and in its tool: no process of the agent is left."""
        for moment in MOMENTS:
            voyage = Voyage(moment, 3, long=30.0)
            shadow = await scene.visitor.send(voyage.prompt)
            await shadow.until(voyage.under_way, within=60)
            container = await self.engine.session(scene.visitor.session_of(shadow))
            before = await self.engine.processes(container)
            assert any("scripted" in one for one in before), before
            await scene.api.raw("POST", f"/api/v1/runs/{shadow.run_id}/cancel")
            assert await shadow.closed(within=60) == "canceled"
            left = await self.engine.processes(container)
            assert not [one for one in left if "scripted" in one or "sleep" in one], left

    def quiet(self) -> list[Case]:
        """They disturb nobody."""
        return [
            Case(name="idle stop, removal, native resume in a new container", play=self.idle),
            Case(name="limits, as the engine has them", play=self.limits),
            Case(name="approval, by the engine and the store", play=self.approval),
            Case(name="cancel leaves no process", play=self.agentless),
            Case(name="a superseded worker saves aside", play=self.superseded),
        ]

    def alone(self) -> list[Case]:
        return [Case(name="cleanup and reconcile, with counts", play=self.cleanup)]
