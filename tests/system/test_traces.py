"""One trace from the gateway to the executor: its spans, and the events that came of it."""

import asyncio
import json
import secrets
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from contracts.runs import CreateRun, Run
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack, embedded_stack
from tests.system.visitor import Visitor, script

SERVICES = {"gateway", "control_plane", "executor-manager", "executor"}
OF_THE_RUN = {"message.user", "run.queued", "run.started", "message.delta", "tool.call"}


@pytest.fixture
def traces() -> Generator[Path]:
    """A file that executors, who are another user where we are root, may write to."""
    with tempfile.TemporaryDirectory(prefix="berth-traces-") as folder:
        Path(folder).chmod(0o711)
        path = Path(folder) / "spans.jsonl"
        path.touch()
        path.chmod(0o666)
        yield path


async def test_trace__reaches_from_gateway_to_executor(traces: Path, no_stack: None) -> None:
    exporter = {"trace_exporter": f"file:{traces}"}
    shared = {"sandbox_writable": str(traces.parent)}
    settings = {
        **dict.fromkeys(("gateway", "control-plane", "executor"), exporter),
        "executor-manager": exporter | shared,
    }
    async with embedded_stack(settings) as stack:
        visitor = Visitor(stack.api)
        trace = secrets.token_hex(16)
        prompt = script({"text": "hello"}, {"write": {"path": "a.txt", "content": "a"}})
        headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
        run = await stack.api.post("/api/v1/runs", Run, CreateRun(text=prompt), headers=headers)
        await visitor.follow(run).closed()
        await spans_of_all(traces, trace)
        await events_carry(stack, run, trace)
        await visitor.leave()


async def spans_of_all(traces: Path, trace: str) -> None:
    async def all_told() -> bool:
        lines = await asyncio.to_thread(traces.read_text)
        # the last one may be half written
        spans = [json.loads(line) for line in lines[: lines.rfind("\n") + 1].splitlines()]
        missing.clear()
        missing.update(SERVICES - {one["service"] for one in spans if one["trace_id"] == trace})
        return not missing

    missing: set[str] = set()
    try:
        await eventually(all_told, "not every service has a span in the trace")
    except AssertionError as error:
        raise AssertionError(f"{error}: {missing} have none") from error


async def events_carry(stack: EmbeddedStack, run: Run, trace: str) -> None:
    rows = await stack.fetch("SELECT kind, trace_id FROM events WHERE run_id = $1", run.id)
    others = {row["kind"] for row in rows if row["trace_id"] != trace}
    assert not others & OF_THE_RUN, f"of another trace: {others}"
