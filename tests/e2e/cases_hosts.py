"""On hosts of their own: engines restarted, frozen and killed; sessions that move."""

import asyncio
import secrets
from uuid import UUID

from docker.models.containers import Container

from contracts.session_workers import PatchSessionWorker
from tests.e2e.cases import Case, Scene
from tests.e2e.cases_conversation import label
from tests.e2e.grounds import Ground
from tests.e2e.hosts import Host, Hosts
from tests.e2e.snapshots import head
from tests.e2e.stack import Stack
from tests.e2e.strikes import LONG, OVER, SEEDS, Strike, Striker
from tests.e2e.voyages import MOMENTS, Voyage, arrived
from tests.system.oracle import quiet
from tests.system.visitor import script
from tests.system.voyages import told

FROZEN = 60.0
SEED = 815


class HostCases:
    def __init__(self, stack: Stack, hosts: Hosts) -> None:
        self.stack = stack
        self.hosts = hosts
        self.first, self.second = (hosts.found[name] for name in ("ha", "hb"))

    async def moved(self, scene: Scene) -> None:
        """The manager is made anew and adopts; told to end it drains: an idle session and one in
        the middle of a run go on natively on the other host.
        """
        nonce = secrets.token_hex(8)
        resting = await scene.visitor.send(
            script(
                {"remember": {"key": "NONCE", "value": nonce}},
                {"write": {"path": "kept", "content": nonce}},
            )
        )
        session = (await scene.visitor.succeeded(resting, within=60)).session_id
        await self._keep_warm(scene, [session], kept=True)
        voyage = Voyage("tool", SEED, long=200.0)
        sailing = await scene.visitor.send(voyage.prompt)
        await sailing.until(voyage.under_way, within=60)
        struck = [session, scene.visitor.session_of(sailing)]
        before = await self._ids(struck)
        try:
            await self.stack.set("executor-manager", drain_on_stop="true")
            assert await self._ids(struck) == before, "not adopted"
            port, *_ = await self.stack.published("control-plane", 8010)
            await self.first.serve(self.stack, port=port)
        finally:
            await self.stack.compose("stop", "-t", "90", "executor-manager")
        run = await arrived(scene, self.stack, sailing, within=OVER)
        assert run.attempt == 2
        again = await scene.visitor.send("recall NONCE", session=session)
        await scene.visitor.succeeded(again, within=60)
        assert label(again) == "native"
        assert nonce in told(again.seen)
        there = await self.first.engine.session(session)
        assert await self.first.engine.file(there, "/workspace/kept") == nonce.encode()
        saved = await head(self.stack, session)
        assert saved is not None
        assert saved.files["kept"] == nonce.encode()
        await self._keep_warm(scene, [session], kept=False)
        await self._let_go(await self.stack.own_sessions())

    async def _ids(self, sessions: list[UUID]) -> list[str]:
        found = [await self.stack.engine.session(session) for session in sessions]
        return [str(one.id) for one in found]

    async def _let_go(self, left: list[Container]) -> None:
        """Of a drained host: nothing runs; what the engine still has, the control plane does not
        count on: it is saved, and was released.
        """
        alive = [one.name for one in left if one.status != "exited"]
        assert not alive, f"they run after the drain: {alive}"
        for one in left:
            released = await self.stack.value(
                "SELECT released_at FROM session_workers WHERE id = $1 AND NOT pinned",
                UUID(one.labels["berth.worker"]),
            )
            assert released, f"{one.name} was not released"

    def strikes(self) -> list[Case]:
        striker = Striker(self.stack, self.first)
        kept, lost = self._restart(live=True), self._restart(live=False)
        frozen = Strike(
            name="the engine frozen for a minute", act=self._frozen, attempt=1, deadline=360
        )
        return [striker.case(one, seed=SEED + n) for n, one in enumerate((kept, lost, frozen))]

    def _restart(self, *, live: bool) -> Strike:
        async def act(ground: Ground, _struck: dict[UUID, str]) -> None:
            assert isinstance(ground, Host)
            await ground.restart(live_restore=live)

        how = "with" if live else "without"
        name = f"the engine restarted, {how} live-restore"
        if live:
            return Strike(name=name, act=act, attempt=1)
        # the manager ends with its engine and comes back when its short leases have run out
        return Strike(name=name, act=act, attempt=2, more=1, epochs=3, same_container=False)

    async def _frozen(self, ground: Ground, _struck: dict[UUID, str]) -> None:
        assert isinstance(ground, Host)
        with ground.stopped():
            await asyncio.sleep(FROZEN)  # the freeze itself is the matter of this case

    async def killed(self, scene: Scene) -> None:
        """Two managers; one host loses its power. Its runs end right on the other one."""
        *_, port = await self.stack.published("control-plane", 8010)
        await self.second.serve(self.stack, port=port, drains=True)
        voyages = [Voyage(moment, SEED + n, LONG) for moment in MOMENTS for n in range(SEEDS)]
        shadows = [await scene.visitor.send(voyage.prompt) for voyage in voyages]
        for voyage, shadow in zip(voyages, shadows, strict=True):
            await shadow.until(voyage.under_way, within=90)
            await shadow.kind("workspace.saved")
        sessions = [scene.visitor.session_of(shadow) for shadow in shadows]
        await self._keep_warm(scene, sessions, kept=True)  # who ends early waits there for the rest
        on_first = {
            shadow.run_id
            for shadow in shadows
            if await self.first.engine.sessions(scene.visitor.session_of(shadow))
        }
        assert on_first, "no session was on the host that is killed"
        await self.hosts.kill(self.first.name)
        for shadow in shadows:
            run = await arrived(scene, self.stack, shadow, within=OVER)
            assert run.attempt == (2 if run.id in on_first else 1), run
            there = await self.second.engine.session(run.session_id)
            assert there.status == "running"
        await self._keep_warm(scene, sessions, kept=False)
        await quiet(self.stack)

    async def _keep_warm(self, scene: Scene, sessions: list[UUID], *, kept: bool) -> None:
        for session in sessions:
            await scene.api.limits(session, PatchSessionWorker(keep_warm=kept))

    async def drained(self, _scene: Scene) -> None:
        """The last manager ends: all is saved, and nothing runs any more."""
        await self.second.compose("stop", "-t", "90", "executor-manager")
        await self._let_go(await self.second.engine.sessions())

    def cases(self) -> list[Case]:
        return [
            Case(name="hosts: a drain moves sessions, natively", play=self.moved, deadline=300),
            *self.strikes(),
            Case(name="hosts: one is killed in the middle", play=self.killed, deadline=300),
            Case(name="hosts: the last one drains to nothing", play=self.drained),
        ]
