"""Black box: a run is ended in the middle of its text, and in the middle of a tool call."""

from contracts.events import RunFinished, ToolResult
from contracts.reasons import Reason
from contracts.runs import Run
from tests.e2e.cases import Case, Scene
from tests.e2e.cases_conversation import numbered
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow, script
from tests.system.voyages import told

WITHIN = 60.0
COUNTING = "while true; do echo tick >> ticks; sleep 0.1; done"


async def cancel(scene: Scene, shadow: Shadow) -> None:
    await scene.api.post(f"/api/v1/runs/{shadow.run_id}/cancel", Run)
    assert await shadow.closed(within=WITHIN) == "canceled"
    ended = (await shadow.kind("run.finished")).event
    assert isinstance(ended, RunFinished)
    assert ended.reason is Reason.CANCELED


async def mid_stream(scene: Scene) -> None:
    shadow = await scene.visitor.send(script(numbered(600, delay=0.05), {"text": "the end"}))
    await shadow.until(lambda seen: "#5;" in told(seen))
    await cancel(scene, shadow)
    assert "the end" not in told(shadow.seen)
    again = await scene.visitor.send(
        script({"text": "still there\n"}), session=scene.visitor.session_of(shadow)
    )
    await scene.visitor.succeeded(again)


async def mid_tool(scene: Scene) -> None:
    """What the tool did until then is kept; what it had started does nothing more."""
    shadow = await scene.visitor.send(script({"shell": f"({COUNTING}) & {COUNTING}"}))
    await shadow.kind("tool.update")
    session = scene.visitor.session_of(shadow)

    async def ticks() -> bool:
        return "tick" in (await scene.api.file(session, "ticks")).text.split()

    await eventually(ticks, "the tool does not write")
    await cancel(scene, shadow)
    again = await scene.visitor.send(
        script({"shell": "wc -l < ticks; sleep 1; wc -l < ticks"}), session=session
    )
    await scene.visitor.succeeded(again)
    (read,) = [one.event for one in again.seen if isinstance(one.event, ToolResult)]
    before, after = read.output.split()
    assert before == after, "the canceled tool still writes"


CANCEL = [
    Case(name="cancel mid-stream", play=mid_stream),
    Case(name="cancel mid-tool", play=mid_tool),
]
