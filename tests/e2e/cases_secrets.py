"""Where secrets could be read by who should not (faults K01, K09; V12): searched after a provider's
key and a git token were used, and failed, with errors on their way.

In each place something is looked for as well that must be there: who sees nothing proves nothing.
"""

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from docker.errors import NotFound
from docker.models.containers import Container

from contracts.egress import AskedEgress, EgressProfile, GitRepository
from contracts.git import GitCredential, PutGitCredential
from contracts.models import ModelUpstream, PutModelUpstream
from contracts.projects import App, CreateApp
from contracts.session_workers import PatchSessionWorker
from contracts.sessions import CreateSession, Session
from contracts.tool_events import ToolResult
from tests.agents.upstreams import project_of
from tests.e2e.canaries import held_by, secrets_of
from tests.e2e.cases import Case, Scene
from tests.e2e.engine import AGENT_UID, spelled, threaded
from tests.e2e.inside import SECRETS, Question, asked_outside
from tests.e2e.stack import PROJECT_LABEL, Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import script

NOBODY = "http://127.0.0.1:9"
"""Where the control plane finds neither a provider nor a git host."""
GIT_HOST = "git.example.org"
NAME = "canary"
MUST_HOLD = {"inspect": b"BERTH_SECRET_KEY_FILE", "metrics": b"berth_", "history": b"COPY"}
DECOYS = ("logs", "arguments", "environments", "rows", "answers")
METRICS = {"control-plane": 8010, "gateway": 8080, "executor-manager": 8020}
ASKS = """
import os, urllib.request
url = os.environ["BERTH_MODEL_BASE_URL"] + "/v1/messages"
body = b'{"model": "canary-1", "max_tokens": 1, "messages": []}'
asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
try:
    print(urllib.request.urlopen(asked, timeout=45).read())
except OSError as error:
    print("refused:", error)
"""
CLONES = f"git clone https://{GIT_HOST}/team/docs.git cloned; git config --list; env; true"
TELLS = """
import sys, time
print(sys.argv[1], file=open("/proc/1/fd/1", "w"), flush=True)
time.sleep(600)
"""
_TABLES = """
SELECT oid::regclass::text AS name FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_CONTENT = "SELECT table_to_xml($1::text::regclass, true, false, '')::text"


def prepare(stack: Stack) -> None:
    """Before it is up."""
    given = stack.environments["control-plane"]
    hosts = [given.get("BERTH_MODEL_HOSTS", ""), NOBODY]
    given["BERTH_MODEL_HOSTS"] = ",".join(filter(None, hosts))
    given["BERTH_GIT_HOSTS"] = f"{GIT_HOST}={NOBODY}"


class Secrets:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = stack.engine

    def cases(self) -> list[Case]:
        name = "isolation: no secret where anybody reads"
        return [Case(name=name, play=self.nowhere, deadline=300.0)]

    async def nowhere(self, scene: Scene) -> None:
        project = await project_of(scene.api)
        at = f"/api/v1/projects/{project}"
        upstream, credential = f"{at}/model-upstreams/{NAME}", f"{at}/git-credentials/{GIT_HOST}"
        decoy = f"decoy-{secrets.token_hex(16)}"
        try:
            await self._given(scene, upstream, credential)
            session = await self._used(scene, project, decoy)
            asked = [upstream.rpartition("/")[0], credential.rpartition("/")[0], "/api/v1/audit"]
            asked += [f"/api/v1/sessions/{session}", f"/api/v1/sessions/{session}/events"]
            places = {
                **await self._containers(),
                "metrics": await self._metrics(),
                "rows": await self._rows(),
                "answers": await self._answers(scene, asked),
            }
            known = await secrets_of(self.stack, session)
            inside = await self._inside(session, Question(known))
            await scene.api.limits(session, PatchSessionWorker(keep_warm=False))
        finally:
            for path in (upstream, credential):
                await scene.api.raw("DELETE", path)
        told = {place: held_by(known, content) for place, content in places.items()}
        assert not any(told.values()), {place: one for place, one in told.items() if one}
        assert not inside, inside
        must = MUST_HOLD | dict.fromkeys(DECOYS, decoy.encode())
        blind = [place for place, word in must.items() if word not in places[place]]
        assert not blind, f"blind: {blind} lack what must be there"

    async def _given(self, scene: Scene, upstream: str, credential: str) -> None:
        key, token = f"sk-{secrets.token_hex(20)}", f"ghp-{secrets.token_hex(20)}"
        self.stack.given |= {"canary-key": key, "canary-token": token}
        asked = PutModelUpstream(url=NOBODY, formats=["messages"], models=["canary-1"], key=key)
        await scene.api.put(upstream, ModelUpstream, asked)
        await scene.api.put(credential, GitCredential, PutGitCredential(token=token))

    async def _used(self, scene: Scene, project: UUID, decoy: str) -> UUID:
        """By a session that may, of a title to be found, and a process that tells it."""
        repository = GitRepository(host=GIT_HOST, path="team/docs", push=True)
        egress = AskedEgress(profile=EgressProfile.CUSTOM, repositories=[repository])
        made = CreateApp(name=NAME, project_id=project, agent="scripted", egress=egress)
        app = await scene.api.post("/api/v1/apps", App, made)
        titled = CreateSession(title=decoy, app_id=app.id)
        session = (await scene.api.post("/api/v1/sessions", Session, titled)).id
        await scene.api.limits(session, PatchSessionWorker(keep_warm=True))
        steps = ({"write": {"path": "asks.py", "content": ASKS}}, {"shell": "python3 asks.py"})
        shadow = await scene.visitor.send(script(*steps, {"shell": CLONES}), session=session)
        await scene.visitor.succeeded(shadow, within=120)
        outputs = [one.event.output for one in shadow.seen if isinstance(one.event, ToolResult)]
        assert "refused: HTTP Error" in outputs[-2], outputs
        assert "unable to access" in outputs[-1], outputs
        container: Any = await self.engine.session(session)
        words = ["python3", "-c", TELLS, decoy]
        told = {"user": "0:0", "environment": {"GIVEN": decoy}, "detach": True}
        await threaded(container.exec_run, words, **told)

        async def printed() -> bool:
            return decoy.encode() in await self.engine.logs(container)

        await eventually(printed, "the decoy is not in its container's log")
        return session

    async def _inside(self, session: UUID, question: Question) -> list[str]:
        """Of whatever is granted by a way of its own nothing is in the session."""
        container = await self.engine.session(session)
        return [
            f"{uid}: {one}"
            for uid in (AGENT_UID, 0)
            for several in (
                await asked_outside(self.engine, container, question, SECRETS, uid=uid)
            ).values()
            for one in several
        ]

    async def _containers(self) -> dict[str, bytes]:
        """What the engine, and whoever has root on its host, sees of them."""
        ours = await self.engine.containers(f"{PROJECT_LABEL}={self.stack.project}")
        found: dict[str, list[bytes]] = {"logs": [], "inspect": [], "arguments": [], "history": []}
        environments: list[bytes] = []
        for container in [*ours, *await self.stack.own_sessions()]:
            with contextlib.suppress(NotFound):  # a session may end while it is looked at
                shown = await self.engine.inspect(container)
                found["logs"].append(await self.engine.logs(container, tail="all"))
                found["inspect"].append(spelled(shown).encode())
                history = await threaded(self.engine.client.api.history, shown["Image"])
                found["history"].append(spelled(history).encode())
                for pid in await self._pids(container, running=shown["State"]["Running"]):
                    found["arguments"].append(_read(f"/proc/{pid}/cmdline"))
                    environments.append(_read(f"/proc/{pid}/environ"))
        joined = {place: b"\n".join(parts) for place, parts in found.items()}
        return {**joined, "environments": b"\n".join(environments)}

    async def _pids(self, container: Container, *, running: bool) -> list[str]:
        """As this host knows them."""
        if not running:
            return []
        top = await threaded(self.engine.client.api.top, container.id, "-eo pid,args")
        return [row[0] for row in top["Processes"] or []]

    async def _metrics(self) -> bytes:
        found: list[bytes] = []
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            for service, port in METRICS.items():
                url = f"http://{await self.stack.address(service)}:{port}/metrics"
                found.append((await client.get(url)).content)
        return b"\n".join(found)

    async def _rows(self) -> bytes:
        """All that the database holds, as text; bytes as base64."""
        names = [row["name"] for row in await self.stack.fetch(_TABLES)]
        assert len(names) > 20, names
        found = [await self.stack.value(_CONTENT, name) for name in names]
        return "\n".join(found).encode()

    async def _answers(self, scene: Scene, paths: list[str]) -> bytes:
        found = await asyncio.gather(*(scene.api.raw("GET", path) for path in paths))
        assert {one.status_code for one in found} == {200}, [one.text[:200] for one in found]
        return b"\n".join(one.content for one in found)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:  # it ended
        return b""
