"""Black box: an effect is absent before its approval, and for ever after a refusal."""

import asyncio
from uuid import UUID

import httpx

from contracts.events import HumanLoopRequested, ToolResult
from contracts.human_loop import Replied, Reply
from tests.e2e.cases import Case, Scene
from tests.system.visitor import Shadow, script
from tests.system.voyages import told

LEDGER = "effects.txt"


def asks(key: str) -> dict[str, object]:
    return {"shell": f"echo {key} >> {LEDGER}", "ask": True}


async def asked(shadow: Shadow, *, count: int = 1) -> HumanLoopRequested:
    event = (await shadow.kind("human_loop.requested", count=count)).event
    assert isinstance(event, HumanLoopRequested)
    return event


async def reply(scene: Scene, request: UUID, answer: Reply) -> Replied:
    return await scene.api.post(f"/api/v1/human-loop/{request}/reply", Replied, answer)


async def ledger(scene: Scene, session: UUID) -> list[str]:
    """As the live workspace has it, by the gateway."""
    answer = await scene.api.file(session, LEDGER)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.text.split()


async def approved(scene: Scene) -> None:
    shadow = await scene.visitor.send(script({"text": "may I?\n"}, asks("granted"), {"text": "ok"}))
    request = await asked(shadow)
    session = scene.visitor.session_of(shadow)
    assert (await scene.visitor.run(shadow)).state == "waiting"
    assert await ledger(scene, session) == [], "done before anybody allowed it"
    answers = [reply(scene, request.request_id, Reply(decision="allow")) for _ in range(2)]
    assert sorted(one.duplicate for one in await asyncio.gather(*answers)) == [False, True]
    await scene.visitor.succeeded(shadow)
    assert await ledger(scene, session) == ["granted"]


async def refused(scene: Scene) -> None:
    """Nor later: not by another message, not by another answer, not after a new container."""
    shadow = await scene.visitor.send(script(asks("never"), {"text": "went on\n"}))
    request = await asked(shadow)
    session = scene.visitor.session_of(shadow)
    assert await ledger(scene, session) == []
    await reply(scene, request.request_id, Reply(decision="reject"))
    late = await reply(scene, request.request_id, Reply(decision="allow"))
    assert late.duplicate
    await scene.visitor.succeeded(shadow)
    assert "went on" in told(shadow.seen)
    assert await ledger(scene, session) == []
    await scene.api.stop_worker(session)
    again = await scene.visitor.send(script({"shell": f"cat {LEDGER}"}), session=session)
    await scene.visitor.succeeded(again)
    (read,) = [one.event for one in again.seen if isinstance(one.event, ToolResult)]
    assert read.status == "failed", f"the refused effect is there: {read.output}"
    assert await ledger(scene, session) == []


async def canceled_while_asking(scene: Scene) -> None:
    shadow = await scene.visitor.send(script(asks("never")))
    request = await asked(shadow)
    answer = await scene.api.raw("POST", f"/api/v1/runs/{shadow.run_id}/cancel")
    assert answer.status_code == httpx.codes.ACCEPTED
    assert await shadow.closed() == "canceled"
    path = f"/api/v1/human-loop/{request.request_id}/reply"
    late = await scene.api.raw("POST", path, json={"decision": "allow"})
    assert late.status_code in {200, 409}, late.text
    assert await ledger(scene, scene.visitor.session_of(shadow)) == []


async def question(scene: Scene) -> None:
    shadow = await scene.visitor.send(script({"ask_user": "Which port?"}))
    request = await asked(shadow)
    await reply(scene, request.request_id, Reply(content={"answer": "Bergen"}))
    await scene.visitor.succeeded(shadow)
    assert "Bergen" in told(shadow.seen)


APPROVAL = [
    Case(name="approval: the effect comes after it", play=approved),
    Case(name="refusal: the effect never comes", play=refused),
    Case(name="cancel while asking", play=canceled_while_asking),
    Case(name="a question is answered", play=question),
]
