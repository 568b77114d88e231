"""`berth ls`: sessions, or runs."""

from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.output import Output
from contracts.runs import Run, RunPage
from contracts.sessions import Session, SessionPage


async def ls(
    *,
    runs: Annotated[bool, Parameter(negative=(), help="Runs instead of sessions.")] = False,
    session: Annotated[UUID | None, Parameter(help="Only this session's runs.")] = None,
    limit: Annotated[int, Parameter(help="At most so many, 1 to 200.")] = 20,
    json: Annotated[bool, Parameter(negative=(), help="Each one as a JSON line.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List sessions, the newest first; with --runs, runs."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        if runs or session is not None:
            page = await client.get("/api/v1/runs", RunPage, limit=limit, session_id=session)
            show_runs(page.items, output, json=json)
        else:
            found = await client.get("/api/v1/sessions", SessionPage, limit=limit)
            columns = ["session", "state", "agent", "updated", "title"]
            output.listing(found.items, columns, _session, json=json)
    return Exit.OK


def show_runs(runs: list[Run], output: Output, *, json: bool) -> None:
    output.listing(runs, ["run", "session", "state", "agent", "created"], _run, json=json)


def _run(run: Run) -> list[str]:
    return [str(run.id), str(run.session_id), _state(run), run.agent, f"{run.created_at:%F %T}"]


def _state(run: Run) -> str:
    state = "parked" if run.parked else str(run.state)
    return f"{state} ({run.reason})" if run.reason and run.state != "succeeded" else state


def _session(session: Session) -> list[str]:
    return [
        str(session.id),
        "busy" if session.live_run_id else str(session.state),
        session.agent,
        f"{session.updated_at:%F %T}",
        session.title,
    ]
