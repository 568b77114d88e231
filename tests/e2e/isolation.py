"""No key and no token inside, no address but loopback, no way to the executor.

Asked in a running session, as the agent by its own tool and as the container's root by the engine;
then every check is shown red in a container that has just that weakness.
"""

import asyncio
from uuid import UUID

from docker.models.containers import Container

from contracts.runs import Run
from contracts.session_workers import PatchSessionWorker
from tests.e2e import inside
from tests.e2e.blindness import Blindness
from tests.e2e.canaries import held_by, secrets_of
from tests.e2e.cases import Case, Scene
from tests.e2e.engine import AGENT_UID, threaded
from tests.e2e.inside import (
    Found,
    Question,
    addresses_of,
    asked_by_agent,
    asked_outside,
    configuration,
    seen_outside,
)
from tests.e2e.stack import PROJECT_LABEL, Stack
from tests.e2e.weakened import WEAKNESSES
from tests.e2e.weakened_escapes import ESCAPES
from tests.system.visitor import script

AS_ROOT = (*inside.SECRETS, *inside.NETWORK, *inside.POWERS, *inside.HOLES)
AS_AGENT = (*AS_ROOT, *inside.AGENTS)
BY_TOOL = (*AS_AGENT, *inside.FILTERED)


def isolation_cases(stack: Stack) -> list[Case]:
    prison = Isolation(stack)
    return [
        Case(
            name="isolation: a running session, as agent and as root",
            play=prison.sealed,
            deadline=300.0,
        ),
        Case(
            name="isolation: each check is red where it is weakened",
            play=prison.red,
            deadline=900.0,
        ),
    ]


class Isolation:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    async def sealed(self, scene: Scene) -> None:
        """At rest by the agent's tool; from outside while an agent runs, to be looked at too."""
        engine = self.stack.engine
        shadow = await scene.visitor.send(script({"text": "here\n"}))
        session = (await scene.visitor.succeeded(shadow)).session_id
        await scene.api.limits(session, PatchSessionWorker(keep_warm=True))
        question = await self._question(session)
        await self._image_is_older(await engine.session(session))
        by_agent = await asked_by_agent(scene.visitor, engine, session, question, BY_TOOL)
        running = await scene.visitor.send(script({"sleep": 600}), session=session)
        await running.kind("run.started")
        container = await engine.session(session)
        as_agent, as_root = await asyncio.gather(
            asked_outside(engine, container, question, AS_AGENT, uid=AGENT_UID),
            asked_outside(engine, container, question, AS_ROOT, uid=0),
        )
        found = {
            "tool": by_agent,
            "agent": as_agent,
            "root": as_root,
            "engine": await seen_outside(engine, container, question),
        }
        await scene.api.post(f"/api/v1/runs/{running.run_id}/cancel", Run)
        await running.closed()
        wrong = {who: _wrong(answers) for who, answers in found.items() if _wrong(answers)}
        assert not wrong, wrong
        told = "".join(one.line for one in shadow.seen).encode()
        assert not held_by(question.secrets, told), "a secret is in the log of events"

    async def _image_is_older(self, container: Container) -> None:
        """Than any secret of this deployment, by the engine: what it holds need not be searched."""
        image = (await self.stack.engine.inspect(container))["Image"]
        made = (await threaded(self.stack.engine.client.images.get, image)).attrs["Created"]
        init = await self.stack.engine.inspect(await self.stack.one("init"))
        assert made < init["Created"], f"{made} is not before {init['Created']}"

    async def red(self, scene: Scene) -> None:
        """Unweakened it is green; then one weakness at a time, and the check that must find it."""
        shadow = await scene.visitor.send(script({"text": "a pattern\n"}))
        session = (await scene.visitor.succeeded(shadow)).session_id
        await scene.api.limits(session, PatchSessionWorker(keep_warm=True))
        question = await self._question(session)
        container = await self.stack.engine.session(session)
        pattern = configuration(await self.stack.engine.inspect(container))
        seeing = Blindness(
            engine=self.stack.engine,
            label=(PROJECT_LABEL, self.stack.project),
            front=f"{self.stack.project}_front",
            sound=AS_AGENT,
        )
        await seeing.none([*WEAKNESSES, *ESCAPES], pattern, question)

    async def _question(self, session: UUID) -> Question:
        secrets = await secrets_of(self.stack, session)
        return Question(secrets, await addresses_of(self.stack))


def _wrong(answers: Found) -> Found:
    return {check: found for check, found in answers.items() if found}
