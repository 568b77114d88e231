"""`berth reply`: answers what an agent asks."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from cyclopts import Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from contracts.human_loop import HumanLoopRequest, Replied, Reply


async def reply(
    request: Annotated[UUID, Parameter(help="As the run's events and `berth show` name it.")],
    /,
    *,
    allow: Annotated[bool, Parameter(negative=(), help="Permit it.")] = False,
    reject: Annotated[bool, Parameter(negative=(), help="Refuse it.")] = False,
    text: Annotated[str | None, Parameter(help="The answer to a question.")] = None,
    content: Annotated[
        str | None, Parameter(help="A question's form filled in: a JSON object.")
    ] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Answer a request: --allow, --reject, --text or --content. The first answer counts."""
    output = Output()
    if [allow, reject, text is not None, content is not None].count(True) != 1:
        raise CliError("Give one of --allow, --reject, --text and --content.", Exit.USAGE)
    if content is not None:
        answer = Reply(content=_read(content))
    elif text is not None:
        answer = Reply(text=text)
    else:
        answer = Reply(decision="allow" if allow else "reject")
    async with ApiClient(find_place(url, key)) as client:
        replied = await client.post(f"/api/v1/human-loop/{request}/reply", Replied, answer)
    if json:
        output.json(replied)
        return Exit.OK
    said = _chosen(replied.request) or replied.request.text or str(replied.request.state)
    before = "It had been answered before: " if replied.duplicate else "Answered: "
    output.line(f"{before}{said}")
    return Exit.OK


def _chosen(request: HumanLoopRequest) -> str:
    names = {option.id: option.name for option in request.options}
    return request.option_kind or names.get(request.option_id or "", "")


def _read(content: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise CliError(f"--content is no JSON object: {error}.", Exit.USAGE) from error
