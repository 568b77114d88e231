"""A session's history: forks, rollbacks, differences, archives; by the store's list, the packs that
the database names, what is in the containers, and what the agents still know.
"""

import hashlib
from typing import NamedTuple
from uuid import UUID

from contracts.archives import MEDIA_TYPE
from contracts.branches import ForkSession
from contracts.differences import DifferencePage, TextDifference
from contracts.sessions import Session
from contracts.snapshots import SnapshotPage
from tests.agents.upstreams import project_of
from tests.e2e.cases import Case, Scene, elsewhere
from tests.e2e.cases_conversation import label
from tests.e2e.cases_trees import MEMORY_ONLY, outputs
from tests.e2e.client import Client
from tests.e2e.commands import git
from tests.e2e.snapshots import Store, head
from tests.e2e.stack import Stack, scratch
from tests.fixtures.stack import embedded_stack
from tests.system.visitor import Visitor, script
from tests.system.voyages import told

COLORS = ("blue", "red", "green")
BIG = 3 * 1024 * 1024
_PACKS = """
SELECT array_agg(n.pack_key ORDER BY n.pack_key) FROM snapshot_packs n
JOIN sessions s ON s.head_snapshot_id = n.snapshot_id
WHERE s.id = $1 AND n.pack_key LIKE '%.pack'
"""
LOOKS = {"shell": "cat color.txt; sha256sum big | cut -c1-64"}


class Past(NamedTuple):
    session: UUID
    snapshots: list[UUID]
    """One of each turn."""
    big: str
    """The SHA-256 of what is large in it."""


class History:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    async def _past(self, scene: Scene) -> Past:
        """A turn for each color: in a file, and in what the agent remembers."""
        session: UUID | None = None
        snapshots, big = list[UUID](), ""
        for color in COLORS:
            more = f"head -c {BIG} /dev/urandom > big; echo kept > kept-{color}; ln -sf big link"
            shadow = await scene.visitor.send(
                script(
                    {"write": {"path": "color.txt", "content": f"{color}\n"}},
                    {"remember": {"key": "color", "value": color}},
                    {"shell": more if session is None else f"echo kept > kept-{color}"},
                    {"shell": "sha256sum big | cut -c1-64"},
                ),
                session=session,
            )
            run = await scene.visitor.succeeded(shadow, within=60)
            assert run.snapshot_id is not None
            session, big = run.session_id, outputs(shadow)[-1].strip()
            snapshots.append(run.snapshot_id)
        assert session is not None
        return Past(session, snapshots, big)

    async def _goes_on(
        self, visitor: Visitor, store: Store, past: Past, session: UUID, color: str
    ) -> None:
        """From files, conversation and memory of that turn, natively; then it is saved."""
        prompt = script({"recall": "color"}, LOOKS, {"shell": "echo on > went-on"})
        shadow = await visitor.send(prompt, session=session)
        await visitor.succeeded(shadow, within=60)
        assert label(shadow) == "native", label(shadow)
        assert f"color is {color}" in told(shadow.seen), told(shadow.seen)
        assert outputs(shadow)[0].split() == [color, past.big]
        saved = await head(store, session)
        assert saved is not None
        files = saved.content()
        assert hashlib.sha256(saved.files["big"]).hexdigest() == past.big
        kept = {f"kept-{one}" for one in COLORS[: COLORS.index(color) + 1]}
        assert {*files} == {"big", "color.txt", "link", "went-on", *kept}, {*files}

    async def forks(self, scene: Scene) -> None:
        past = await self._past(scene)
        packs = await self.stack.packs(past.session)
        asked = ForkSession(snapshot_id=past.snapshots[0], title="another way")
        path = f"/api/v1/sessions/{past.session}/fork"
        fork = (await scene.api.post(path, Session, asked)).id
        assert await self.stack.packs(fork) == {}, "packs were copied"
        assert await self.stack.packs(past.session) == packs
        named = await self.stack.value(_PACKS, fork)
        assert named, "its packs are nobody's"
        assert {*named} <= {*packs}
        said = await self._said(scene.api, fork)
        assert [COLORS[0] in one for one in said] == [True] * len(said), said
        await self._goes_on(scene.visitor, self.stack, past, fork, COLORS[0])
        container = await self.engine.session(fork)
        assert await self.engine.file(container, "/workspace/color.txt") == b"blue\n"
        more = await self.stack.packs(fork)
        assert 0 < sum(more.values()) < MEMORY_ONLY, more
        await self._goes_on(scene.visitor, self.stack, past, past.session, COLORS[-1])

    async def _said(self, api: Client, session: UUID) -> list[str]:
        answer = await api.raw("GET", f"/api/v1/sessions/{session}/transcript")
        assert answer.status_code == 200, answer.text
        events = [one["event"] for one in answer.json()["items"]]
        return [event["text"] for event in events if event["kind"] == "message.user"]

    async def goes_back(self, scene: Scene) -> None:
        """And forth: what came after it is still listed. No pack is copied for it."""
        past = await self._past(scene)
        packs = await self.stack.packs(past.session)
        former = await self.engine.session(past.session)
        back = await self._rolled_back(scene, past.session, past.snapshots[0])
        assert back.head_snapshot_id is not None
        assert (await self.stack.packs(past.session)).items() >= packs.items()
        page = await scene.api.get(f"/api/v1/sessions/{past.session}/snapshots", SnapshotPage)
        listed = {one.id for one in page.items}
        assert {*past.snapshots} <= listed
        await self._goes_on(scene.visitor, self.stack, past, past.session, COLORS[0])
        now = await self.engine.session(past.session)
        assert now.id != former.id
        assert await self.engine.file(now, "/workspace/color.txt") == b"blue\n"
        await self._rolled_back(scene, past.session, past.snapshots[-1])
        await self._goes_on(scene.visitor, self.stack, past, past.session, COLORS[-1])
        kinds = [entry.event for entry in await scene.api.log(f"/api/v1/sessions/{past.session}")]
        assert sum(type(one).__name__ == "SessionRolledBack" for one in kinds) == 2

    async def _rolled_back(self, scene: Scene, session: UUID, snapshot: UUID) -> Session:
        path = f"/api/v1/sessions/{session}/rollback"
        answer = await scene.api.raw("POST", path, json={"snapshot_id": str(snapshot)}, timeout=90)
        assert answer.status_code == 200, answer.text
        return await scene.api.get(f"/api/v1/sessions/{session}", Session)

    async def differs(self, scene: Scene) -> None:
        """By names, and by text that the real git takes."""
        past = await self._past(scene)
        first, *_, last = past.snapshots
        place = f"/api/v1/sessions/{past.session}/snapshots/{first}/diff"
        page = await scene.api.get(place, DifferencePage, to=last, limit=200)
        changes = {
            one.path: one.change.value for one in page.items if not one.path.startswith(".berth")
        }
        assert changes == {"color.txt": "changed", "kept-red": "added", "kept-green": "added"}
        async with scratch() as folder:
            (folder / "color.txt").write_text("blue\n")
            await git(folder, "init", "-q")
            for path in changes:
                found = await scene.api.get(f"{place}/text", TextDifference, to=last, path=path)
                assert found.text is not None, found
                await git(folder, "apply", "-", said=found.text)
            made = {name: (folder / name).read_bytes() for name in changes}
        saved = await head(self.stack, past.session)
        assert saved is not None
        assert made == {name: saved.files[name] for name in changes}
        binary = await scene.api.raw("GET", f"{place}/text", params={"path": "big"})
        assert binary.json()["change"] is None, binary.text

    async def travels(self, scene: Scene) -> None:
        """Into another project, of another person; what it needs of the store is its own there."""
        past = await self._past(scene)
        archive = await self._exported(scene, past)
        other = await self.stack.new_project(f"travels-{past.session.hex[:8]}")
        async with elsewhere(scene.api.url, other.key, scene.figures) as theirs:
            session = await self._arrives(theirs.api, archive)
            named = await self.stack.value(_PACKS, session)
            assert {*named} == {*await self.stack.packs(session)}
            await self._goes_on(theirs.visitor, self.stack, past, session, COLORS[-1])
            await theirs.api.stop_worker(session)

    async def emigrates(self, scene: Scene) -> None:
        """Into another installation, which has nothing of ours."""
        past = await self._past(scene)
        archive = await self._exported(scene, past)
        async with (
            embedded_stack() as other,
            elsewhere(other.url, other.key, scene.figures) as theirs,
        ):
            session = await self._arrives(theirs.api, archive)
            await self._goes_on(theirs.visitor, other, past, session, COLORS[-1])

    async def _exported(self, scene: Scene, past: Past) -> bytes:
        answer = await scene.api.raw("GET", f"/api/v1/sessions/{past.session}/export")
        assert answer.status_code == 200, answer.text
        return answer.content

    async def _arrives(self, api: Client, archive: bytes) -> UUID:
        path = f"/api/v1/projects/{await project_of(api)}/sessions/import"
        kind = {"Content-Type": MEDIA_TYPE}
        refused = await api.raw("POST", path, content=archive[:-3000], headers=kind)
        assert refused.status_code == 400, refused.text
        made = await api.raw("POST", path, content=archive, headers=kind)
        assert made.status_code == 201, made.text
        return UUID(made.json()["id"])

    def cases(self) -> list[Case]:
        return [
            Case(name="history: a fork of an earlier snapshot", play=self.forks),
            Case(name="history: back, and forth again", play=self.goes_back, deadline=240),
            Case(name="history: what snapshots differ in", play=self.differs),
            Case(name="history: an archive, in another project", play=self.travels),
            Case(
                name="history: an archive, in another installation",
                play=self.emigrates,
                deadline=300,
            ),
        ]
