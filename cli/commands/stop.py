"""`berth stop`: cancels a run."""

from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.output import Output
from contracts.runs import Run, RunState


async def stop(
    run: Annotated[UUID, Parameter(help="The run's id.")],
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Cancel a run. Its session stays, and so does what it has written."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        found = await client.post(f"/api/v1/runs/{run}/cancel", Run)
    if json:
        output.json(found)
    elif found.state is RunState.CANCELED:
        output.line("Canceled.")
    else:
        output.line(f"It is {found.state} and was told to stop; `berth show {run}` tells when.")
    return Exit.OK
