"""The run that is hurt in its middle: effects counted in a file of its workspace, in text or in a
tool call; and what must be true of it afterwards, by the committed snapshot and the container.
"""

import random
from dataclasses import dataclass
from typing import Literal

from cli.stream import Seen
from contracts.events import RunFinished, ToolCall, ToolUpdate
from contracts.runs import Run
from tests.e2e.cases import Scene
from tests.e2e.cases_conversation import label, numbered
from tests.e2e.snapshots import head
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow, script
from tests.system.voyages import results, told

LEDGER = "/workspace/effects.txt"
KEPT = "notes/log.md"
KEPT_CONTENT = "Cast off at dawn.\n"

Moment = Literal["stream", "tool"]
MOMENTS: tuple[Moment, ...] = ("stream", "tool")


@dataclass(frozen=True)
class Voyage:
    """`seed` decides how far it is when it is hurt."""

    moment: Moment
    seed: int
    long: float = 6.0
    """Seconds of its text, or of its tool the first time that it is called."""

    @property
    def piece(self) -> int:
        return random.Random(self.seed).randint(5, 40)

    @property
    def prompt(self) -> str:
        middle: dict[str, object] = numbered(120, delay=self.long / 120)
        if self.moment == "tool":
            middle = {"shell": f"test -e tool.txt || {{ touch tool.txt; sleep {self.long}; }}"}
        return script(
            {"text": "#1; #2; "},
            {"effect": {"path": LEDGER, "key": "before"}},
            {"write": {"path": KEPT, "content": KEPT_CONTENT}},
            middle,
            {"effect": {"path": LEDGER, "key": "after"}},
            {"text": "#1; arrived"},
        )

    def under_way(self, seen: list[Seen]) -> bool:
        """Its first effect and its file are told; it is in its text, or in its tool."""
        if results(seen) < 2:
            return False
        if self.moment == "stream":
            return f"#{self.piece};" in told(seen)
        return _in_tool(seen)


def _in_tool(seen: list[Seen]) -> bool:
    calls = [one.event for one in seen if isinstance(one.event, ToolCall)]
    last = calls[-1].call_id
    updates = [one.event for one in seen if isinstance(one.event, ToolUpdate)]
    return calls[-1].tool_kind == "execute" and any(one.call_id == last for one in updates)


async def arrived(scene: Scene, stack: Stack, shadow: Shadow, *, within: float) -> Run:
    """It succeeded once; each effect is in the committed snapshot once, and the file is whole."""
    run = await scene.visitor.succeeded(shadow, within=within)
    ends = [one.event for one in shadow.seen if isinstance(one.event, RunFinished)]
    assert [end.state for end in ends] == ["succeeded"], ends
    assert run.snapshot_id is not None
    assert not run.unsaved
    if run.attempt > 1:
        assert label(shadow) == "native", f"resumed {label(shadow)}"
    await kept(stack, run, effects=["before", "after"])
    return run


async def kept(stack: Stack, run: Run, *, effects: list[str]) -> None:
    async def committed() -> bool:
        saved = await head(stack, run.session_id)
        found.append(saved.lines("effects.txt") if saved else [])
        return saved is not None and saved.files.get(KEPT) == KEPT_CONTENT.encode()

    found: list[list[str]] = []
    await eventually(committed, "the head snapshot has no log.md")
    assert found[-1] == effects, f"V3: effects in the committed snapshot: {found[-1]}"
