"""Trees that were saved, lost with their container, and restored: equal, by a listing made inside
before and after, by the store's own list, and by the real git.
"""

from pathlib import Path
from uuid import UUID

from contracts.events import RunWarning, ToolResult, WorkspaceRestored
from tests.e2e.cases import Case, Scene
from tests.e2e.cases_conversation import label
from tests.e2e.snapshots import head
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow, script

ODDITIES, LISTING = (
    (Path(__file__).parent / name).read_text() for name in ("oddities.py", "listing.py")
)
LONGEST_PATH = 4096
MEMORY_ONLY = 64 * 1024
"""More than what an agent remembers of a turn takes, less than any tree of these cases."""
UNKEPT = ("fifo", "socket")
REPOSITORY = """
set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.test
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.test
git init -q -b main repo && cd repo
mkdir -p src docs
for n in $(seq 1 120); do echo "line $n" > src/$n.py; done
head -c 2000000 /dev/urandom > docs/picture.bin
ln -s src/1.py link
git add . && git commit -qm first
git gc -q
git checkout -q -b work && echo more >> src/1.py && git commit -qam second && git tag v1
git checkout -q main && git merge -q --no-ff -m merged work
echo stashed >> src/2.py && git stash -q
echo staged > staged && git add staged && echo unstaged >> staged
echo edited >> src/3.py; rm src/4.py; git rm -q src/5.py; git mv src/6.py src/six.py
chmod +x src/7.py; echo '*.log' > .gitignore; echo noise > noise.log; echo new > untracked
mkdir -p empty && ln -sf src/8.py link
"""
LOOKS = """
cd repo; export GIT_OPTIONAL_LOCKS=0
git status --porcelain=v2 --branch --ignored -uall && git fsck --full --strict --no-dangling
git stash list; git log --all --graph --oneline --decorate; git reflog; git ls-files --stage
git diff | sha256sum; git diff --cached | sha256sum; git diff --stat HEAD
"""


def ran(program: str, *arguments: str) -> dict[str, object]:
    return {"shell": f"python3 - {' '.join(arguments)} <<'END'\n{program}\nEND"}


def outputs(shadow: Shadow) -> list[str]:
    """Of its tools that were whole and right."""
    found = [one.event for one in shadow.seen if isinstance(one.event, ToolResult)]
    assert all(one.status == "completed" and not one.truncated for one in found), found
    return [one.output for one in found]


class Trees:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    async def odd(self, scene: Scene) -> None:
        """Bit for bit, all but what no snapshot can hold, which is told."""
        shadow = await scene.visitor.send(script(ran(ODDITIES), ran(LISTING, "odd")))
        session = (await scene.visitor.succeeded(shadow, within=60)).session_id
        before = outputs(shadow)[1].splitlines()
        kept = [one for one in before if not one.startswith(tuple(f"b'odd/{n}'" for n in UNKEPT))]
        assert len(before) - len(kept) == len(UNKEPT), before
        warned = [one.event for one in shadow.seen if isinstance(one.event, RunWarning)]
        (told,) = [one.detail for one in warned if one.code == "files_skipped"]
        assert all(name in told for name in UNKEPT), told
        await self._is_stored(session)
        packs = await self._lost(scene, session)
        again = await scene.visitor.send(script(ran(LISTING, "odd")), session=session)
        await scene.visitor.succeeded(again, within=60)
        after = outputs(again)[0].splitlines()
        wrong = [one for one in zip(kept, after, strict=False) if one[0] != one[1]]
        assert after == kept, (len(kept), len(after), wrong[:5])
        await self._was_restored(scene, again)
        now = await self.stack.packs(session)
        more = {key: size for key, size in now.items() if key not in packs}
        assert sum(more.values()) < MEMORY_ONLY, f"of an unchanged tree: {more}"

    async def _is_stored(self, session: UUID) -> None:
        saved = await head(self.stack, session)
        assert saved is not None
        names = [name.encode(errors="surrogateescape") for name in (*saved.files, *saved.links)]
        assert max(map(len, names)) == LONGEST_PATH
        assert b"odd/names/\xff\xfe\x80 not UTF-8" in names
        assert not [name for name in names if name.endswith((b"/fifo", b"/socket"))]
        assert saved.links["odd/outside"] == "/etc/passwd"
        assert saved.files["odd/others/twin"] == saved.files["odd/zz-twin"] == b"1"
        assert saved.modes["odd/mode-4711"] == 0o4711

    async def _lost(self, scene: Scene, session: UUID) -> dict[str, int]:
        """Its container and its disk, after a save of a tree that had not changed: no pack."""
        packs = await self.stack.packs(session)
        assert packs
        await scene.api.stop_worker(session)

        async def gone() -> bool:
            return not await self.engine.sessions(session)

        await eventually(gone, f"the engine still has a container of {session}", within=60)
        assert await self.stack.packs(session) == packs
        return packs

    async def _was_restored(self, scene: Scene, shadow: Shadow) -> None:
        session = scene.visitor.session_of(shadow)
        log = [entry.event for entry in await scene.api.log(f"/api/v1/sessions/{session}")]
        restored = [one for one in log if isinstance(one, WorkspaceRestored)]
        assert [one.snapshot_id is None for one in restored] == [True, False], restored
        assert label(shadow) == "native"

    async def git(self, scene: Scene) -> None:
        """A repository in the middle of work: staged, unstaged, moved, stashed, merged, packed."""
        shadow = await scene.visitor.send(script({"shell": REPOSITORY}, {"shell": LOOKS}))
        session = (await scene.visitor.succeeded(shadow, within=60)).session_id
        made, before = outputs(shadow)
        assert made == "", made
        marks = (
            "? untracked",
            "! noise.log",
            "1 AM",
            "1 .D",
            "1 D.",
            "2 R.",
            "stash@{0}",
            "merged",
        )
        assert all(mark in before for mark in marks), before
        await self._lost(scene, session)
        again = await scene.visitor.send(script({"shell": LOOKS}), session=session)
        await scene.visitor.succeeded(again, within=60)
        assert outputs(again) == [before]
        await self._was_restored(scene, again)

    def cases(self) -> list[Case]:
        return [
            Case(name="workspace: every oddity of a tree comes back", play=self.odd, deadline=240),
            Case(name="workspace: git in the middle of work comes back", play=self.git),
        ]
