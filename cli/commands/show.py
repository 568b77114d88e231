"""`berth show`: one run or one session."""

from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.client import ApiClient, Refused
from cli.commands.ls import show_runs
from cli.commands.run import Following, follow
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.stream import RunStream
from contracts.events import ResumeLabel, RunStarted
from contracts.log import LogPage
from contracts.runs import Run, RunOutput, RunPage
from contracts.sessions import Session


async def show(
    id_: Annotated[UUID, Parameter(name="ID", help="Of a run or a session.")],
    /,
    *,
    follow_: Annotated[
        bool, Parameter(name="--follow", negative=(), help="A run's events, from its first on.")
    ] = False,
    json: Annotated[bool, Parameter(negative=(), help="JSON lines.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Show a run (its state, reason, answer) or a session (its runs)."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        run = await _find(client, id_)
        if run is None:
            return await _show_session(client, id_, output, json=json)
        if follow_:
            stream = RunStream(client, run_id=run.id, session_id=run.session_id)
            return await follow(client, stream, output, Following(json=json))
        if json:
            output.json(run)
        else:
            await _show_run(client, run, output)
    return Exit.OK


async def _find(client: ApiClient, run_id: UUID) -> Run | None:
    try:
        return await client.get(f"/api/v1/runs/{run_id}", Run)
    except Refused as refusal:
        if refusal.exit_code != Exit.NOT_FOUND:
            raise
        return None


async def _show_run(client: ApiClient, run: Run, output: Output) -> None:
    facts = {
        "run": run.id,
        "session": run.session_id,
        "agent": run.agent,
        "model": run.model,
        "state": "parked" if run.parked else run.state,
        "reason": run.reason,
        "detail": run.detail,
        "remedy": run.remedy if run.state != "succeeded" else "",
        "attempt": run.attempt,
        "place": run.place if run.state == "pending" else None,
        "next retry": run.next_retry_at,
        "resumed": await _resumed(client, run),
        "snapshot": run.snapshot_id,
    }
    for name, value in facts.items():
        if value not in (None, ""):
            output.line(f"{name:<11}{value}")
    answer = await client.get(f"/api/v1/runs/{run.id}/output", RunOutput)
    if answer.text:
        output.line(f"\n{answer.text.rstrip()}")


async def _resumed(client: ApiClient, run: Run) -> str:
    """With the reason where its agent did not have its own memory, as the log tells it."""
    if run.resume in {None, ResumeLabel.NATIVE}:
        return run.resume or ""
    path = f"/api/v1/runs/{run.id}/events"
    page = await client.get(path, LogPage, kind=RunStarted.__struct_config__.tag, limit=200)
    told = [one.event.resume_reason for one in page.items if isinstance(one.event, RunStarted)]
    return f"{run.resume} ({told[-1]})" if told and told[-1] else run.resume or ""


async def _show_session(client: ApiClient, id_: UUID, output: Output, *, json: bool) -> Exit:
    try:
        session = await client.get(f"/api/v1/sessions/{id_}", Session)
    except Refused as refusal:
        if refusal.exit_code != Exit.NOT_FOUND:
            raise
        raise CliError(f"There is no run and no session {id_}.", Exit.NOT_FOUND) from refusal
    if json:
        output.json(session)
        return Exit.OK
    page = await client.get("/api/v1/runs", RunPage, session_id=session.id, limit=50)
    for name, value in {
        "session": session.id,
        "title": session.title,
        "agent": session.agent,
        "state": session.state,
        "snapshot": session.head_snapshot_id,
        "forked": _origin(session),
    }.items():
        if value not in (None, ""):
            output.line(f"{name:<11}{value}")
    show_runs(page.items, output, json=False)
    return Exit.OK


def _origin(session: Session) -> str:
    origin = session.forked_from
    return "" if origin is None else f"from session {origin.session_id} at {origin.snapshot_id}"
