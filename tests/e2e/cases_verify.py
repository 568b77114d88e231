"""Wrong bytes in the store itself, found by `berth workspace verify`, each by its path; then put
right again.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from cli.exits import Exit
from contracts.events import WorkspaceDamaged
from contracts.snapshots import SnapshotPage
from tests.e2e.cases import Case, Scene
from tests.e2e.cases_trees import outputs
from tests.e2e.commands import Command
from tests.e2e.snapshots import MEMORY, head
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

MAKE = (
    "mkdir kept && seq 1 20000 > kept/numbers && head -c 6000000 /dev/urandom > kept/noise"
    " && sha256sum kept/*"
)


class Verify:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    async def wrong_bytes(self, scene: Scene) -> None:
        """One flipped, then a pack cut short: each told with the paths that it hurts, and no other.
        With its bytes back the snapshot is intact, and restored as it was.
        """
        shadow = await scene.visitor.send(script({"shell": MAKE}))
        session = (await scene.visitor.succeeded(shadow, within=60)).session_id
        (sums,) = outputs(shadow)
        await scene.api.stop_worker(session)
        berth = Command(scene.api)
        assert await self._verified(berth, session, Exit.OK) == []
        packs = await self.stack.packs(session)
        key = max(packs, key=lambda one: packs[one])
        whole = self.stack.object(key)
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for wrong, paths in ((bytes(flipped), {"noise"}), (whole[:-1000], {"noise", "numbers"})):
            async with self._instead(key, wrong, whole):
                found = await self._verified(berth, session, Exit.RUN_FAILED)
                assert {one["object"] for one in found} == {key}, found
                hurt = {one["path"].removeprefix("kept/") for one in found}
                assert {one for one in hurt if not one.startswith(MEMORY)} == paths, found
                assert all(one["found"] and one["length"] for one in found), found
                assert (await self._head(scene, session)).damaged
        shown = await berth.run("workspace", "verify", "--session", str(session))
        assert (shown.code, "damaged" in shown.out) == (Exit.OK, False), shown
        assert not (await self._head(scene, session)).damaged
        log = [entry.event for entry in await scene.api.log(f"/api/v1/sessions/{session}")]
        told = [one for one in log if isinstance(one, WorkspaceDamaged)]
        # a checkpoint of its run may have named the same pack
        assert [one.head for one in told].count(True) == 1, told
        assert len({one.snapshot_id for one in told}) == len(told), "one was told twice"
        assert all("(kept/noise)" in one.detail for one in told), told
        await self._comes_back(scene, session, sums)

    async def _verified(self, berth: Command, session: UUID, code: int) -> list[Any]:
        """What it found, each finding once."""
        done = await berth.run("workspace", "verify", "--session", str(session), "--json")
        assert done.code == code, done
        *found, told = done.json()
        assert told["state"] == "done"
        findings = [one for one in found if "object" in one]
        assert told["findings"] == len(findings), done.out
        return findings

    @asynccontextmanager
    async def _instead(self, key: str, wrong: bytes, right: bytes) -> AsyncGenerator[None]:
        self.stack.put_object(key, wrong)
        try:
            yield
        finally:
            self.stack.put_object(key, right)

    async def _head(self, scene: Scene, session: UUID) -> Any:
        page = await scene.api.get(f"/api/v1/sessions/{session}/snapshots", SnapshotPage)
        (found,) = [one for one in page.items if one.head]
        return found

    async def _comes_back(self, scene: Scene, session: UUID, sums: str) -> None:
        async def gone() -> bool:
            return not await self.engine.sessions(session)

        await eventually(gone, f"the engine still has a container of {session}", within=60)
        shadow = await scene.visitor.send(script({"shell": "sha256sum kept/*"}), session=session)
        await scene.visitor.succeeded(shadow, within=60)
        assert outputs(shadow) == [sums]
        assert await head(self.stack, session) is not None

    def cases(self) -> list[Case]:
        name = "workspace: wrong bytes in the store are found, and mended"
        return [Case(name=name, play=self.wrong_bytes, deadline=240)]
