"""One conversation with each real agent: what it says, writes, is allowed, is refused, plans, uses;
and how it goes on in another container. Each by a witness outside of it.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from contracts.events import TodoUpdate
from contracts.human_loop import Reply
from contracts.runs import RunOutput
from contracts.session_workers import PatchSessionWorker
from contracts.sessions import CreateSession, Session
from tests.agents.acts import Plan, Say, Shell, Write
from tests.agents.books import books_of
from tests.agents.dialects import DIALECTS, REAL
from tests.agents.model import ModelServer
from tests.agents.talk import Talk, labels, nonce
from tests.e2e.cases import Case, Scene
from tests.e2e.snapshots import Saved, head
from tests.e2e.stack import Stack
from tests.system.visitor import Shadow

MEMORY_MIB = 1536
ALLOWED, REFUSED = "allowed.txt", "refused.txt"

Findings = dict[str, Any]


class AgentCases:
    def __init__(self, stack: Stack, model: ModelServer) -> None:
        self.stack = stack
        self.model = model
        self.found: dict[str, Findings] = {}

    def cases(self) -> list[Case]:
        return [self._case(name) for name in REAL]

    def _case(self, name: str) -> Case:
        async def play(scene: Scene) -> None:
            await Conversation(self, scene, name).play()

        return Case(name=f"agent: {name}", play=play, deadline=240)


class Conversation:
    def __init__(self, cases: AgentCases, scene: Scene, name: str) -> None:
        self.cases = cases
        self.scene = scene
        self.talk = Talk(DIALECTS[name], scene.api, scene.visitor)
        self.found: Findings = {}
        cases.found[name] = self.found
        self.wrong: list[str] = []
        self.word = nonce()
        self.first: Shadow | None = None

    async def play(self) -> None:
        """Every part of it, whatever became of those before."""
        made = CreateSession(agent=self.talk.dialect.name)
        session = await self.scene.api.post("/api/v1/sessions", Session, made)
        await self.scene.api.limits(session.id, PatchSessionWorker(memory_mib=MEMORY_MIB))
        self.talk.session = session.id
        for name, part in (
            ("text", self._text), ("file", self._file), ("plan", self._plan),
            ("approved", self._approved), ("refused", self._refused), ("usage", self._usage),
            ("resumed", self._resumed),
        ):  # fmt: skip
            self.found[name] = await self._told(name, part)
        assert not self.wrong, "; ".join(self.wrong)

    async def _told(self, name: str, part: Callable[[], Awaitable[str | None]]) -> bool | str:
        """What the part says of itself, True; False if it failed."""
        try:
            return await part() or True
        except Exception as error:  # noqa: BLE001 - the part's outcome
            self.wrong.append(f"{name}: {str(error)[:300] or type(error).__name__}")
            return False

    async def _text(self) -> None:
        """As the model said it; it was asked by nobody but us."""
        self.first = await self.talk.done(
            Write(path="log.md", content=f"{self.word}\n"),
            Plan(entry=f"Stow {self.word}"),
            Say(text=f"It is {self.word}."),
            said=f"Do this, {self.word}.",
        )
        path = f"/api/v1/runs/{self.first.run_id}/output"
        output = await self.scene.api.get(path, RunOutput)
        assert output.text.strip() == f"It is {self.word}.", output.text
        assert self.cases.model.asked(self.word), "the model was not asked"

    async def _file(self) -> None:
        assert (await self._saved()).files["log.md"] == f"{self.word}\n".encode()

    async def _plan(self) -> None:
        assert self.first is not None
        plans = [one.event for one in self.first.seen if isinstance(one.event, TodoUpdate)]
        assert plans, "no plan was told"
        assert [one.content for one in plans[-1].entries] == [f"Stow {self.word}"], plans

    async def _approved(self) -> None:
        await self._asked(ALLOWED, Reply(decision="allow"))
        assert (await self._saved()).lines(ALLOWED) == [self.word]

    async def _refused(self) -> None:
        shadow = await self._asked(REFUSED, Reply(decision="reject"))
        run = await self.scene.visitor.run(shadow)
        told = (run.state, run.reason)
        assert told in {("succeeded", "completed"), ("failed", "refused_by_person")}, told
        assert REFUSED not in (await self._saved()).files

    async def _asked(self, path: str, answer: Reply) -> Shadow:
        """By the engine nothing is there before the answer."""
        act = Shell(command=f"echo {self.word} > {path}", ask=True)
        shadow = await self.talk.send(act, Say(text="It is over."))
        request = await self.talk.asked(shadow)
        container = await self.cases.stack.engine.session(self._session)
        assert await self.cases.stack.engine.file(container, f"/workspace/{path}") is None
        await self.talk.reply(request.request_id, answer)
        await shadow.closed(within=60)
        return shadow

    async def _usage(self) -> None:
        books = await books_of(self.scene.api, self.cases.model, {self._session})
        assert len(books.completed) >= 3, books.calls
        books.compare()

    async def _resumed(self) -> str:
        """In another container, with its past in what the model is asked."""
        former = await self.cases.stack.engine.session(self._session)
        await self.scene.api.stop_worker(self._session)
        word = nonce()
        again = await self.talk.done(Say(text="I am here."), said=f"Are you there, {word}?")
        later = await self.cases.stack.engine.session(self._session)
        assert later.id != former.id
        assert any(f"It is {self.word}." in one.text for one in self.cases.model.asked(word))
        (label,) = labels(again.seen)
        assert label == "native", label
        return label

    async def _saved(self) -> Saved:
        found = await head(self.cases.stack, self._session)
        assert found is not None, "nothing is committed"
        return found

    @property
    def _session(self) -> UUID:
        assert self.talk.session is not None
        return self.talk.session
