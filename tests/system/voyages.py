"""The run that is hurt in its middle: an effect outside, a file, long text, another effect."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from cli.stream import Seen
from contracts.events import MessageDelta, ToolResult
from tests.fixtures.stack import EmbeddedStack
from tests.system.visitor import Shadow, script

KEPT = "notes/log.md"
KEPT_CONTENT = "Cast off at dawn.\n"


@dataclass(frozen=True)
class Voyage:
    prompt: str
    ledger: Path
    go: Path
    """One that is held says all of its text but the last, and then waits for this file."""

    def effects(self) -> list[str]:
        return self.ledger.read_text().split() if self.ledger.exists() else []


def voyage(
    stack: EmbeddedStack, *, pieces: int = 60, delay: float = 0.05, held: bool = False
) -> Voyage:
    ledger = stack.ledger(f"{uuid4()}.txt")
    go = ledger.with_suffix(".go")
    hold = [{"shell": f"until [ -e {go} ]; do sleep 0.05; done"}] if held else []
    text = "".join(f"#{number}; " for number in range(1, pieces + 1))
    prompt = script(
        {"text": "#1; #2; "},
        {"effect": {"path": str(ledger), "key": "before"}},
        {"write": {"path": KEPT, "content": KEPT_CONTENT}},
        {"text": text, "chunks": pieces, "delay": delay},
        *hold,
        {"effect": {"path": str(ledger), "key": "after"}},
        {"text": "#1; arrived"},
    )
    return Voyage(prompt, ledger, go)


def told(seen: list[Seen]) -> str:
    return "".join(one.event.text for one in seen if isinstance(one.event, MessageDelta))


def results(seen: list[Seen]) -> int:
    return sum(isinstance(one.event, ToolResult) for one in seen)


async def under_way(shadow: Shadow, *, piece: int = 15) -> None:
    """Its effect and its file are done and told; its long text is being told."""
    await shadow.until(lambda seen: results(seen) >= 2 and f"#{piece};" in told(seen))


async def file_of(stack: EmbeddedStack, session: object, name: str = KEPT) -> str:
    row = await stack.value(
        "SELECT id FROM session_workers WHERE session_id = $1 ORDER BY epoch DESC LIMIT 1", session
    )
    box = next(box for box in stack.boxes() if box.record.worker_id == row)
    return await asyncio.to_thread((box.workspace / name).read_text)
