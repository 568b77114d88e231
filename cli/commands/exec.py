"""`berth exec`: a command in a session's container."""

import sys
from typing import Annotated
from uuid import UUID

import httpx
from cyclopts import Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output, printable
from contracts.terminals import EXEC_SECONDS, ExecCommand, Executed

SLACK_SECONDS = 45.0


async def run_command(
    session: UUID,
    /,
    *command: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True, help="A program and its arguments; one alone is for a shell."
        ),
    ],
    cwd: Annotated[str, Parameter(help="Relative to the workspace.")] = "",
    within: Annotated[
        float, Parameter(name="--timeout", help="Seconds; then it is killed, code 137.")
    ] = 60.0,
    json: Annotated[bool, Parameter(negative=(), help="The whole answer, as JSON.")] = False,
    url: Url = None,
    key: Key = None,
) -> int:
    """Run a command in a session's container: berth exec SESSION -- CMD. Its exit code is ours."""
    if not command:
        raise CliError("Name a command: berth exec SESSION -- CMD.", Exit.USAGE)
    if not 0 < within <= EXEC_SECONDS:
        raise CliError(f"--timeout: more than 0 and at most {EXEC_SECONDS:g}.", Exit.USAGE)
    asked = ExecCommand(
        command=command[0] if len(command) == 1 else list(command),
        cwd=cwd,
        timeout_seconds=within,
    )
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        client.http.timeout = httpx.Timeout(10.0, read=within + SLACK_SECONDS)
        path = f"/api/v1/session-workers/{session}/tty/exec"
        done = await client.post(path, Executed, asked)
    if json:
        output.json(done)
        return done.exit_code
    for stream, text in ((sys.stdout, done.stdout), (sys.stderr, done.stderr)):
        # what ran there must not steer the terminal here; a file gets it as it is
        stream.write(printable(text) if stream.isatty() else text)
    if done.truncated:
        output.note("(not all of the output is here)")
    if done.timed_out:
        output.note(f"It was killed after {within:g} s.")
    return done.exit_code
