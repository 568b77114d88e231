"""What one event of the log says to a person, as a line; text that streams is not among them."""

from dataclasses import dataclass
from functools import singledispatch

import msgspec

from cli.forms import form_lines
from contracts import events

MARKS = {"completed": "[x]", "in_progress": "[>]", "pending": "[ ]"}


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    style: str = "dim"


@singledispatch
def lines(event: object) -> list[Line]:
    """Empty: nothing that a person needs to see."""
    del event
    return []


@lines.register
def _(event: events.RunQueued) -> list[Line]:
    behind = " behind another run of its session" if event.state == "pending" else ""
    return [Line(f"queued{behind}")]


@lines.register
def _(event: events.RunStarted) -> list[Line]:
    why = f" ({event.resume_reason})" if event.resume_reason else ""
    return [Line(f"{event.agent} started, resumed: {event.resume}{why}")]


@lines.register
def _(event: events.RunWarning) -> list[Line]:
    return [Line(f"warning: {event.code} {event.detail}".rstrip(), "yellow")]


@lines.register
def _(event: events.RunRetrying) -> list[Line]:
    what = f"{event.reason}: {event.detail}" if event.detail else str(event.reason)
    when = f" in {event.delay_seconds:.1f} s" if event.delay_seconds else ""
    return [Line(f"this attempt ended ({what}); attempt {event.next_attempt}{when}", "yellow")]


@lines.register
def _(_event: events.RunParked) -> list[Line]:
    return [Line("parked: it waits for a person without a worker", "yellow")]


@lines.register
def _(event: events.RunLog) -> list[Line]:
    return [Line(event.text, "red" if event.level == "error" else "dim")]


@lines.register
def _(event: events.RunFinished) -> list[Line]:
    if event.state == "succeeded":
        return [Line("succeeded", "green")]
    told = [Line(f"{event.state}: {event.reason} {event.detail}".rstrip(), "bold red")]
    return [*told, Line(event.remedy, "")] if event.remedy else told


@lines.register
def _(event: events.ToolCall) -> list[Line]:
    return [Line(f"* {event.title}", "cyan")]


@lines.register
def _(event: events.ToolUpdate) -> list[Line]:
    return [Line(f"* {event.title}", "cyan")] if event.title else []


@lines.register
def _(event: events.ToolResult) -> list[Line]:
    found = [Line(f"  {line}") for line in event.output.splitlines()[:20]]
    found += [Line(f"  {diff.path}: {len(diff.new_text)} characters") for diff in event.diffs]
    failed = event.status != "completed"
    return [*found, Line(f"  {event.status}", "red" if failed else "dim")]


@lines.register
def _(event: events.ToolAccepted) -> list[Line]:
    return [] if event.request_id else [Line(f"{event.tool}: {event.text}", "bold")]


@lines.register
def _(event: events.TodoUpdate) -> list[Line]:
    plan = [Line(f"  {MARKS[entry.status]} {entry.content}", "magenta") for entry in event.entries]
    return [Line("plan", "bold magenta"), *plan]


@lines.register
def _(event: events.HumanLoopRequested) -> list[Line]:
    tool = f" with {event.tool}" if event.tool else ""
    asked = Line(f"? the agent asks{tool}: {event.title}", "bold yellow")
    if event.type == "permission":
        return [asked]
    options = [f"{option.id}: {option.name}" for option in event.options]
    return [asked, *(Line(f"  {line}") for line in [*options, *form_lines(event.form)])]


@lines.register
def _(event: events.HumanLoopResolved) -> list[Line]:
    filled = "" if event.content is None else msgspec.json.encode(event.content).decode()
    said = event.option_kind or event.text or filled
    return [Line(f"  {event.outcome} {said}".rstrip(), "yellow")]


@lines.register
def _(event: events.HumanLoopOverdue) -> list[Line]:
    return [Line(f"still waiting for an answer to {event.request_id}", "yellow")]


@lines.register
def _(event: events.WorkspaceRestored) -> list[Line]:
    restored = Line(f"workspace restored: {event.files} files from {event.snapshot_id}")
    passed = [Line(f"passed over, damaged: {one}", "bold red") for one in event.passed_over]
    return [restored, *passed]


@lines.register
def _(event: events.WorkspaceSaved) -> list[Line]:
    return [Line(f"workspace saved: {event.files} files as {event.snapshot_id}")]


@lines.register
def _(event: events.WorkerStep) -> list[Line]:
    if event.step != "clone" or event.outcome == "failed":
        return []
    return [Line(f"cloned in {event.duration_ms / 1000:.1f} s")]


@lines.register
def _(event: events.WorkspaceDamaged) -> list[Line]:
    which = "its present state" if event.head else "an earlier state"
    text = f"snapshot {event.snapshot_id} ({which}) is damaged: {event.detail}"
    return [Line(text, "bold red")]


@lines.register
def _(event: events.SessionRolledBack) -> list[Line]:
    return [Line(f"rolled back: what follows goes on from {event.snapshot_id}", "yellow")]


@lines.register
def _(event: events.SessionForked) -> list[Line]:
    return [Line(f"forked from session {event.session_id} at {event.snapshot_id}")]


@lines.register
def _(event: events.SessionImported) -> list[Line]:
    return [Line(f"imported: session {event.session_id} at {event.snapshot_id}")]


@lines.register
def _(event: events.WorkspaceUnsaved) -> list[Line]:
    return [Line(f"the workspace could not be saved: {event.detail}", "bold red")]


@lines.register
def _(event: events.WorkerFailed) -> list[Line]:
    return [Line(f"its worker failed: {event.reason} {event.detail}".rstrip(), "red")]


@lines.register
def _(event: events.EgressDenied) -> list[Line]:
    place = f"{event.host}:{event.port}" if event.port else event.host
    what = " ".join(part for part in (event.method, f"{place}{event.path}") if part)
    times = f", {event.count} times" if event.count > 1 else ""
    return [Line(f"denied: {what} by {event.upstream} ({event.rule}{times})", "yellow")]


@lines.register
def _(event: events.AlertRaised) -> list[Line]:
    return [Line(f"alert: {event.code} {event.detail}", "bold red")]
