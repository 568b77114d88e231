"""What apps lay over a workspace: told before by the restore plan, seen inside, read-only; by the
container, the committed snapshot and the project's own files.
"""

import hashlib
import secrets
from typing import Any
from uuid import UUID

import httpx
import msgspec

from contracts.projects import App
from contracts.runs import RunState
from contracts.sessions import CreateSession, Session
from tests.agents.upstreams import project_of
from tests.e2e.cases import Case, Scene, elsewhere
from tests.e2e.cases_refusals import problem
from tests.e2e.cases_trees import outputs
from tests.e2e.snapshots import head
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

GUIDE, MAIN = b"how we do it\n", b"print('seeded')\n"
MANIFEST: dict[str, Any] = {
    "runtime_version": "1.0",
    "seed_files": [
        {"path": "/workspace/app", "source": "template"},
        {"path": "/workspace/NOTES.md", "text": "begin here\n"},
    ],
    "mount_points": [{"path": "/workspace/shared", "source": "shared"}],
    "required_paths": ["/workspace/app/main.py", "/workspace/shared/guide.md"],
}
SEES = {"shell": "cat NOTES.md app/main.py shared/guide.md"}
TRIES = """
echo x > shared/guide.md; echo x > shared/more; rm -f shared/guide.md; mv shared/guide.md shared/b
test "$(cat shared/guide.md)" = 'how we do it' && ls shared && echo own > app/own
"""
FORCES = "chmod -R u+w shared && echo forged > shared/guide.md && cat shared/guide.md; true"
"""Its own copy, if it will: nobody else's."""


class Layers:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    async def layers(self, scene: Scene) -> None:
        other = await self.stack.new_project(f"layers-{secrets.token_hex(4)}")
        async with elsewhere(scene.api.url, other.key, scene.figures) as theirs:
            project = await project_of(theirs.api)
            for path, content in (("shared/guide.md", GUIDE), ("template/main.py", MAIN)):
                answer = await self._file(theirs, project, "PUT", path, content=content)
                assert answer.status_code == 201, answer.text
            app = await self._app(theirs, MANIFEST)
            await self._planned(theirs, app)
            await self._refused(theirs)
            session = await self._seen(theirs, project, app)
            await self._again(theirs, session)
            await self._blocked(theirs)
            await theirs.api.stop_worker(session)

    async def _file(
        self, scene: Scene, project: UUID, method: str, path: str, **options: Any
    ) -> httpx.Response:
        place = f"/api/v1/projects/{project}/files/file"
        return await scene.api.raw(method, place, params={"path": path}, **options)

    async def _app(self, scene: Scene, manifest: dict[str, Any]) -> App:
        body = {
            "name": secrets.token_hex(4), "agent": "scripted", "runtime_manifest": manifest,
        }  # fmt: skip
        made = await scene.api.raw("POST", "/api/v1/apps", json=body)
        assert made.status_code == 201, made.text
        return msgspec.json.decode(made.content, type=App)

    async def _plan(self, scene: Scene, **asked: Any) -> httpx.Response:
        return await scene.api.raw("POST", "/api/v1/runs/restore-plan", json=asked)

    async def _planned(self, scene: Scene, app: App) -> None:
        answer = await self._plan(scene, app_id=str(app.id))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        told = [(one["what"], one["path"], one["bytes"]) for one in found["layers"]]
        assert told == [
            ("runtime", "", 0),
            ("seed", "/workspace/app", len(MAIN)),
            ("seed", "/workspace/NOTES.md", 11),
            ("mount", "/workspace/shared", len(GUIDE)),
        ]
        assert (found["blocked"], found["conflicts"]) == (None, [])

    async def _refused(self, scene: Scene) -> None:
        """What is missing; and paths that lead elsewhere, with the rule that they break."""
        missing = {**MANIFEST, "required_paths": ["/workspace/app/main.py", "/workspace/no/such"]}
        answer = await self._plan(scene, runtime_manifest=missing)
        assert problem(answer, 422) == "required_paths_missing"
        assert answer.json()["details"]["missing"] == ["/workspace/no/such"]
        for path, rule in (("/etc/passwd", "under_workspace"), ("/workspace/../x", "plain_parts")):
            manifest = {"mount_points": [{"path": path}]}
            answer = await self._plan(scene, runtime_manifest=manifest)
            assert problem(answer, 400) == "validation_failed"
            details = answer.json()["details"]
            assert (details["path"], details["rule"]) == (path, rule), details

    async def _seen(self, scene: Scene, project: UUID, app: App) -> UUID:
        """Inside, as planned; read-only, and in no snapshot."""
        session = (
            await scene.api.post("/api/v1/sessions", Session, CreateSession(app_id=app.id))
        ).id
        prompt = script(SEES, {"shell": TRIES}, {"shell": FORCES})
        shadow = await scene.visitor.send(prompt, session=session)
        await scene.visitor.succeeded(shadow, within=60)
        seen, tried, _ = outputs(shadow)
        assert seen.encode() == b"begin here\n" + MAIN + GUIDE
        assert tried.endswith("guide.md\n"), tried
        assert tried.count("ermission denied") >= 3, tried
        answer = await self._file(scene, project, "GET", "shared/guide.md")
        assert answer.content == GUIDE
        key = await self.stack.value(
            "SELECT o.key FROM project_objects o WHERE o.project_id = $1 AND o.sha256 = $2",
            project,
            hashlib.sha256(GUIDE).hexdigest(),
        )
        assert self.stack.object(key) == GUIDE
        saved = await head(self.stack, session)
        assert saved is not None
        assert saved.files["app/main.py"] == MAIN
        assert saved.files["app/own"] == b"own\n"
        assert not [path for path in saved.modes if path.startswith("shared/")], "it was saved"
        return session

    async def _again(self, scene: Scene, session: UUID) -> None:
        """Its next worker has the project's file anew, and what it made of the seeds."""
        await scene.api.stop_worker(session)

        async def gone() -> bool:
            return not await self.engine.sessions(session)

        await eventually(gone, f"the engine still has a container of {session}", within=60)
        shadow = await scene.visitor.send(script(SEES, {"shell": "cat app/own"}), session=session)
        await scene.visitor.succeeded(shadow, within=60)
        seen, own = outputs(shadow)
        assert seen.encode() == b"begin here\n" + MAIN + GUIDE
        assert own == "own\n"
        container = await self.engine.session(session)
        assert await self.engine.file(container, "/workspace/shared/guide.md") == GUIDE

    async def _blocked(self, scene: Scene) -> None:
        """No run begins without what its app requires; it says what is missing."""
        app = await self._app(scene, {"required_paths": ["/workspace/no/such"]})
        made = CreateSession(app_id=app.id)
        session = (await scene.api.post("/api/v1/sessions", Session, made)).id
        shadow = await scene.visitor.send(script({"text": "never"}), session=session)
        assert await shadow.closed(within=60) == RunState.BLOCKED
        run = await scene.visitor.run(shadow)
        assert run.reason == "required_paths_missing"
        assert "/workspace/no/such" in run.detail
        assert "run.started" not in [one.kind for one in shadow.seen]
        await scene.api.stop_worker(session)

    def cases(self) -> list[Case]:
        name = "workspace: layers of an app, as planned"
        return [Case(name=name, play=self.layers, deadline=240)]
