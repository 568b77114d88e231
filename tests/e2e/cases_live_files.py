"""Files of a session over the API: beside its agent at work, then from its snapshot; by what is in
the container, in the store and in the audit.
"""

import io
import secrets
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from docker.models.containers import Container

from contracts.projects import CreateKey, CreateUser, Member, NewKey
from contracts.session_workers import PatchSessionWorker
from tests.agents.upstreams import project_of
from tests.e2e.cases import Case, Scene
from tests.e2e.cases_refusals import problem
from tests.e2e.cases_trees import outputs
from tests.e2e.client import Client, client
from tests.e2e.engine import AGENT_UID
from tests.e2e.snapshots import MEMORY, head
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script
from tests.system.voyages import results

SECRET = "KEY=of-nobody\n"
MAKE = (
    "mkdir docs && printf first > docs/a.txt && head -c 300000 /dev/urandom > docs/big"
    f" && printf '{SECRET}' > .env && ln -s /etc/passwd docs/link"
    " && touch 'docs/'$(printf '\\377')"
)
WAITS = (
    "until [ -e docs/go ]; do sleep 0.1; done;"
    " cat docs/b.txt; stat -c ' %u' docs/b.txt; echo ' and more' >> docs/b.txt"
)
NAMED = {
    "docs/b.txt": b"second and more\n",
    "docs/sub/deep.txt": b"uploaded",
    ".env": SECRET.encode(),
}
AUDIT = "SELECT action, actor FROM audit WHERE target = $1"


class Area:
    """One session's files, for one caller."""

    def __init__(self, api: Client, session: UUID) -> None:
        self.api = api
        self.place = f"/api/v1/session-workers/{session}/workspace"

    async def ask(self, method: str, operation: str, **options: Any) -> httpx.Response:
        return await self.api.raw(method, f"{self.place}/{operation}", **options)

    async def read(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask("GET", "file", params={"path": path}, headers=headers)

    async def put(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("PUT", "file", params={"path": path}, content=content, headers=named)

    async def zipped(self, path: str) -> dict[str, bytes]:
        answer = await self.ask("GET", "download", params={"path": path})
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    async def found(self, **query: str) -> list[str]:
        answer = await self.ask("GET", "search", params=query)
        assert answer.status_code == 200, answer.text
        return [one["entry"]["path"] for one in answer.json()["items"]]

    async def tree(self) -> list[tuple[Any, ...]]:
        """All pages, but for what the agent remembers."""
        items, query = list[Any](), {"depth": "64", "limit": "7"}
        while True:
            answer = await self.ask("GET", "tree", params=query)
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
            if (cursor := answer.json()["next_cursor"]) is None:
                break
            query["cursor"] = cursor
        told = ("path", "kind", "size", "mode", "mtime", "target", "escaped")
        rows = [tuple(one.get(name) for name in told) for one in items]
        return [row for row in rows if not f"{row[0]}/".startswith(MEMORY)]


class LiveFiles:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    async def files(self, scene: Scene) -> None:
        shadow = await scene.visitor.send(script({"shell": MAKE}, {"shell": WAITS}))
        await shadow.until(lambda seen: results(seen) == 1, within=60)
        session = scene.visitor.session_of(shadow)
        await scene.api.limits(session, PatchSessionWorker(keep_warm=True))
        container, area = await self.engine.session(session), Area(scene.api, session)
        await self._edited(area, container)
        await self._moved(area, container)
        assert (await scene.visitor.run(shadow)).state == "running"
        assert (await area.put("docs/go", b"")).status_code == 201
        await scene.visitor.succeeded(shadow)
        assert outputs(shadow)[1] == f"second {AGENT_UID}\n"
        await self._withheld(scene, session)
        live = await self._seen(area, "live")
        await scene.api.stop_worker(session)

        async def released() -> bool:
            return not await self.engine.sessions(session, alive=True)

        await eventually(released, "its container still runs", within=60)
        assert await self._seen(area, "snapshot") == live
        await self._only_read(area)
        saved = await head(self.stack, session)
        assert saved is not None
        assert {path: saved.files[path] for path in NAMED} == NAMED

    async def _edited(self, area: Area, container: Container) -> None:
        """Twice by who knows what is there, never by who does not."""
        answer = await area.read("docs/a.txt")
        assert (answer.text, answer.headers["berth-workspace"]) == ("first", "live")
        etag = answer.headers["etag"]
        for content, status in ((b"second", 200), (b"third", 409)):
            answer = await area.put("docs/a.txt", content, If_Match=etag)
            assert answer.status_code == status, answer.text
            assert await self.engine.file(container, "/workspace/docs/a.txt") == b"second"
        assert problem(answer, 409) == "version_conflict"
        answer = await area.put("docs/a.txt", b"fourth", If_None_Match="*")
        assert problem(answer, 409) == "version_conflict"

    async def _moved(self, area: Area, container: Container) -> None:
        made = await area.ask("POST", "mkdir", json={"path": "docs/new/er", "parents": True})
        assert made.status_code == 201, made.text
        upload = {"f": ("sub/deep.txt", b"uploaded")}
        answer = await area.ask("POST", "upload", params={"path": "docs"}, files=upload)
        assert answer.status_code == 201, answer.text
        renamed = {"from": "docs/a.txt", "to": "docs/b.txt"}
        answer = await area.ask("POST", "rename", json=renamed)
        assert answer.status_code == 200, answer.text
        there = await self.engine.files(container, "/workspace/docs")
        assert there["b.txt"] == b"second"
        assert there["deep.txt"] == b"uploaded"
        assert "a.txt" not in there
        assert await area.found(text="second") == ["docs/b.txt"]
        for path in ("docs/link", "docs/link/x", "../etc/passwd"):
            assert problem(await area.put(path, b"x"), 400), path
        gone = await area.ask("DELETE", "file", params={"path": "docs/new", "recursive": "1"})
        assert gone.status_code == 200, gone.text
        done = await self.engine.run(container, "ls", "/workspace/docs/new")
        assert "No such file" in done.output, done

    async def _withheld(self, scene: Scene, session: UUID) -> None:
        """From a member, whose key opens no file of such a name; each time it is in the audit."""
        async with self._member(scene) as (user_id, member):
            area = Area(member, session)
            refused = [
                await area.read(".env"),
                await area.put(".env", b"x"),
                await area.ask("POST", "rename", json={"from": ".env", "to": "plain"}),
                await area.ask("DELETE", "file", params={"path": ".env"}),
            ]
            assert [problem(one, 403) for one in refused] == ["sensitive_path"] * 4
            assert ".env" not in await area.zipped("")
            assert ".env" not in await area.found(text="of-nobody")
            assert (await area.read("docs/b.txt")).status_code == 200
        mine = Area(scene.api, session)
        assert (await mine.read(".env")).text == SECRET
        assert ".env" in await mine.found(text="of-nobody")
        assert (await mine.zipped(""))[".env"] == SECRET.encode()
        told = await self.stack.fetch(AUDIT, str(session))
        count = sum(
            (row["action"], row["actor"]) == ("workspace.sensitive_refused", user_id)
            for row in told
        )
        assert count == len(refused), told
        opened = [row for row in told if row["action"] == "workspace.sensitive"]
        assert opened, told
        assert user_id not in {row["actor"] for row in opened}

    @asynccontextmanager
    async def _member(self, scene: Scene) -> AsyncGenerator[tuple[UUID, Client]]:
        project = await project_of(scene.api)
        name = f"member-{secrets.token_hex(4)}"
        path = f"/api/v1/projects/{project}/users"
        made = await scene.api.post(path, Member, CreateUser(name=name))
        asked = CreateKey(name=name, project_id=project, user_id=made.user_id)
        key = await scene.api.post("/api/v1/keys", NewKey, asked)
        async with client(scene.api.url, key.key) as found:
            yield made.user_id, found
        await scene.api.raw("DELETE", f"/api/v1/keys/{key.id}")

    async def _seen(self, area: Area, source: str) -> dict[str, Any]:
        """All that is read of it, to be the same again."""
        found: dict[str, Any] = {"tree": await area.tree(), "zip": await area.zipped("docs")}
        for path in (*NAMED, "docs/big"):
            answer = await area.read(path)
            assert answer.headers["berth-workspace"] == source, path
            found[path] = answer.content
        part = await area.read("docs/big", Range="bytes=4095-8191")
        assert (part.status_code, part.content) == (206, found["docs/big"][4095:8192])
        beyond = await area.read("docs/big", Range="bytes=300000-")
        assert problem(beyond, 416) == "range_not_satisfiable"
        assert {path: found[path] for path in NAMED} == NAMED
        assert found["zip"]["big"] == found["docs/big"]
        found["names"] = await area.found(name="*.txt")
        return found

    async def _only_read(self, area: Area) -> None:
        written = [
            await area.put("docs/b.txt", b"x"),
            await area.ask("DELETE", "file", params={"path": "docs/b.txt"}),
            await area.ask("POST", "mkdir", json={"path": "x"}),
            await area.ask("POST", "rename", json={"from": "docs/b.txt", "to": "x"}),
            await area.ask("POST", "upload", files={"f": ("x", b"x")}),
        ]
        assert {problem(one, 409) for one in written} == {"workspace_read_only"}

    def cases(self) -> list[Case]:
        name = "workspace: files beside the agent, then from the snapshot"
        return [Case(name=name, play=self.files)]
