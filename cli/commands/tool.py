"""`berth tool`: the platform's tools, for whoever speaks for an agent from outside."""

from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.output import Output
from contracts.tools import BlockTask, FinishTask, RequestInput, ToolAnswer

tool = App(name="tool", help="Speak for an agent: finish-task, block-task, request-input.")

Session = Annotated[UUID, Parameter(help="The session whose work it is about.")]
CallKey = Annotated[
    str | None,
    Parameter(help="Calls with the same one are one call; left out, calls with the same words."),
]


@tool.command
async def finish_task(
    session: Session,
    summary: Annotated[str, Parameter(help="What was done, and how it was checked.")],
    /,
    *,
    call_key: CallKey = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Say that the work is done: its task goes to review."""
    body = FinishTask(session_id=session, summary=summary, key=call_key)
    return await _say("finish_task", body, json=json, url=url, key=key)


@tool.command
async def block_task(
    session: Session,
    reason: Annotated[str, Parameter(help="What is missing, and who could provide it.")],
    /,
    *,
    call_key: CallKey = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Say that the work cannot go on: its run and its task end as blocked."""
    body = BlockTask(session_id=session, reason=reason, key=call_key)
    return await _say("block_task", body, json=json, url=url, key=key)


@tool.command
async def request_input(
    session: Session,
    question: Annotated[str, Parameter(help="What a person is to answer.")],
    /,
    *,
    option: Annotated[
        list[str] | None, Parameter(negative=(), help="An answer to choose; repeatable.")
    ] = None,
    call_key: CallKey = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Ask a person: the answer, by `berth reply`, is the session's next message."""
    body = RequestInput(session_id=session, question=question, options=option or [], key=call_key)
    return await _say("request_input", body, json=json, url=url, key=key)


async def _say(
    name: str,
    body: FinishTask | BlockTask | RequestInput,
    *,
    json: bool,
    url: str | None,
    key: str | None,
) -> Exit:
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        answer = await client.post(f"/api/v1/tools/{name}", ToolAnswer, body)
    if json:
        output.json(answer)
        return Exit.OK
    output.line("It had been said before." if answer.duplicate else "Noted.")
    if answer.request_id is not None:
        output.line(f"Answer it with `berth reply {answer.request_id} --text ...`.")
    return Exit.OK
