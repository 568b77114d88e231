"""Code in and out, by the real command and the real git: directories and repositories of people;
by what is in the container, what was committed, and the git server's own repository.
"""

import os
import secrets
from pathlib import Path
from uuid import UUID

from contracts.runs import Run
from contracts.session_workers import PatchSessionWorker
from tests.control_plane.git.repositories import TOKEN, USERNAME
from tests.e2e.cases import Case, Scene, elsewhere
from tests.e2e.commands import Command, git
from tests.e2e.repositories import HOST, Repositories
from tests.e2e.snapshots import Saved, head
from tests.e2e.stack import Stack, scratch
from tests.fixtures.commands import Done
from tests.system.visitor import script

WORKS = (
    {"shell": "printf 'print(2)\\n' > src/a.py; chmod +x run.sh; rm gone; printf '\\000b' > bin"},
    {"shell": "mkdir -p new/er; echo new > new/er/file; ln -s src link; echo ü > 'odd ü'"},
    {"text": "Done.\n"},
)
PUSHES = (
    {"shell": "echo agent > by-agent && git add . ':!.berth' && git -c user.name=Agent"
     " -c user.email=a@example.test commit -qm work && git push -q origin HEAD"},
    {"shell": "git rev-parse HEAD; git status --porcelain -- . ':!.berth'"},
)  # fmt: skip


class Code:
    def __init__(self, stack: Stack, host: Repositories) -> None:
        self.stack = stack
        self.engine = stack.engine
        self.host = host

    async def _begun(self, scene: Scene, done: Done) -> UUID:
        """The session of a `berth run --json` that went well."""
        assert done.code == 0, done
        run_id = done.json()[0]["run_id"]
        shadow = scene.visitor.follow(await scene.api.get(f"/api/v1/runs/{run_id}", Run))
        return (await scene.visitor.succeeded(shadow)).session_id

    async def _saved(self, session: UUID) -> Saved:
        saved = await head(self.stack, session)
        assert saved is not None
        return saved

    async def _project(self, place: Path) -> Path:
        """A repository with a commit, and with what is in none."""
        (place / "src").mkdir(parents=True)
        for name, content in (
            ("src/a.py", "print(1)\n"), ("run.sh", "#!/bin/sh\n"), ("gone", "gone\n"),
            (".berthignore", "*.log\n"), ("same", "same\n"),
        ):  # fmt: skip
            (place / name).write_text(content)
        await git(place, "init", "-q", "-b", "main")
        await git(place, "add", ".")
        await git(place, "commit", "-qm", "first")
        (place / "uncommitted").write_text("mine\n")
        (place / "noise.log").write_text("noise\n")
        return place

    async def directory(self, scene: Scene) -> None:
        """An agent works on a copy of it; what it made comes back as a patch, and as a tree."""
        berth = Command(scene.api)
        async with scratch() as folder:
            place = await self._project(folder / "project")
            before = await git(place, "status", "--porcelain")
            words = ("run", "--agent", "scripted", "--json", "--dir", str(place), script(*WORKS))
            session = await self._begun(scene, await berth.run(*words))
            await scene.api.limits(session, PatchSessionWorker(keep_warm=True))
            container = await self.engine.session(session)
            assert await self.engine.file(container, "/workspace/uncommitted") == b"mine\n"
            assert await self.engine.file(container, "/workspace/noise.log") is None
            assert await git(place, "status", "--porcelain") == before, "it worked on the original"
            saved = await self._saved(session)
            checked = await self.engine.run(container, "git", "-C", "/workspace", "fsck", "--full")
            assert (checked.code, checked.output) == (0, "")
            await self._pulled(berth, session, place, saved)
            await self._tree(berth, session, folder / "fresh", saved)

    async def _pulled(self, berth: Command, session: UUID, place: Path, saved: Saved) -> None:
        """By two commands, whose patches both make of one tree the other."""
        patch = place.parent / "changes.patch"
        await berth.done("pull", str(session), "-o", str(patch))
        await git(place, "apply", "--check", str(patch))
        await git(place, "apply", str(patch))
        (place / "noise.log").unlink()
        assert _content(place) == _sources(saved)
        assert (place / "run.sh").stat().st_mode & 0o100

    async def _tree(self, berth: Command, session: UUID, fresh: Path, saved: Saved) -> None:
        await berth.done("pull", str(session), "--tree", str(fresh))
        assert not (fresh / ".git").exists()
        assert _content(fresh) == _sources(saved)

    async def repository(self, scene: Scene) -> None:
        """Cloned inside, as far as the policy goes; worked on, pulled, shown, and pushed."""
        name = f"team/code-{secrets.token_hex(4)}"
        self.host.make(name)
        self.host.commit(name, "src/a.py", "print(1)\n")
        first = self.host.head(name)
        url = f"https://{HOST}/{name}"
        other = await self.stack.new_project(name.replace("/", "-"))
        async with elsewhere(scene.api.url, other.key, scene.figures) as theirs:
            berth = Command(theirs.api)
            words = ("run", "--agent", "scripted", "--json", "--git", url)
            refused = await berth.run(*words, script({"text": "no\n"}))
            assert refused.code != 0
            assert "checkout_refused" in refused.out, refused
            assert not self._asked(name, "git-upload-pack"), "it was asked before it was allowed"
            await berth.done("egress", "set", "custom", "--push", f"{HOST}/{name}")
            await berth.done("git", "set", HOST, "--username", USERNAME, said=TOKEN)
            edit = {"shell": "echo 'print(2)' > src/a.py; echo new > new"}
            session = await self._begun(theirs, await berth.run(*words, script(edit)))
            saved = await self._saved(session)
            assert saved.files["README"] == b"first\n"
            assert saved.files[".git/refs/heads/main"].decode().strip() == first
            assert self._asked(name, "git-upload-pack"), self.host.seen[-3:]
            await self._applies(berth, session, name, saved)
            await self._pushes(theirs, session, name, first)
            await theirs.api.stop_worker(session)

    async def _applies(self, berth: Command, session: UUID, name: str, saved: Saved) -> None:
        """To a clone that the real git makes of the server's repository."""
        bare = self.host.directory / "repositories" / f"{name}.git"
        async with scratch() as folder:
            for command in ("pull", "diff"):
                clone = folder / command
                await git(folder, "clone", "-q", str(bare), str(clone))
                patch = (await berth.done(command, str(session))).out
                await git(clone, "apply", "--index", "-", said=patch)
                assert _content(clone) == _sources(saved), command

    async def _pushes(self, scene: Scene, session: UUID, name: str, first: str | None) -> None:
        shadow = await scene.visitor.send(script(*PUSHES), session=session)
        await scene.visitor.succeeded(shadow, within=60)
        now = self.host.head(name)
        assert now not in {None, first}, "the server has no new commit"
        bare = self.host.directory / "repositories" / f"{name}.git"
        listed = await git(bare, "show", "--stat", "--format=%s %an", str(now))
        assert listed.startswith("work Agent"), listed
        assert "by-agent" in listed
        await git(bare, "fsck", "--full", "--strict")
        saved = await self._saved(session)
        assert saved.files[".git/refs/heads/main"].decode().strip() == now
        assert TOKEN.encode() not in b"".join(saved.files.values())

    def _asked(self, name: str, service: str) -> list[str]:
        targets = [one["target"] for one in self.host.seen]
        return [one for one in targets if one.startswith(f"/{name}") and service in one]

    def cases(self) -> list[Case]:
        return [
            Case(name="code: a directory goes in and comes back", play=self.directory),
            Case(
                name="code: a repository, cloned, changed, pushed",
                play=self.repository,
                deadline=240,
            ),
        ]


def _content(place: Path) -> dict[str, bytes | str]:
    """As `Saved.content` has it, without what is git's."""
    found: dict[str, bytes | str] = {}
    for folder, folders, files in os.walk(place):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [name for name in folders if Path(folder) / name != place / ".git"]
        for path in (Path(folder) / name for name in (*files, *links)):
            content = str(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(place))] = content
    return found


def _sources(saved: Saved) -> dict[str, bytes | str]:
    return {path: one for path, one in saved.content().items() if not path.startswith(".git/")}
