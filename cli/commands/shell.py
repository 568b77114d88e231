"""`berth shell`: a terminal in a session's container."""

import sys
from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.attached import AttachedTerminal, Detached
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.terminal import OwnTerminal


async def shell(
    session: UUID,
    /,
    *,
    terminal: Annotated[str, Parameter(help="Which of the session's terminals.")] = "main",
    read_only: Annotated[bool, Parameter(negative=(), help="Look, and type nothing.")] = False,
    detach_key: Annotated[
        str, Parameter(help="With Ctrl: leaves the terminal, which goes on.")
    ] = "]",
    url: Url = None,
    key: Key = None,
) -> int:
    """A terminal in a session's container; Ctrl-] leaves it, and it goes on."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CliError(
            "This needs a terminal on both sides. For a command alone: berth exec SESSION -- CMD.",
            Exit.USAGE,
        )
    place = find_place(url, key)
    output = Output()
    output.note(f"Ctrl-{detach_key} leaves; the terminal goes on.")
    async with OwnTerminal(sys.stdin.fileno(), sys.stdout.fileno()) as own:
        attached = AttachedTerminal(
            place,
            session,
            own,
            terminal=terminal,
            mode="read" if read_only else "auto",
            detach_key=_control(detach_key),
        )
        try:
            return await attached.run()
        except Detached:
            left = True
    if left:
        output.note(f"\nLeft; `berth shell {session} --terminal {terminal}` comes back.")
    return Exit.OK


def _control(key: str) -> int:
    """Raises CliError."""
    if len(key) != 1 or not "@" <= key.upper() <= "_":
        raise CliError(f"--detach-key {key!r}: one of @, A to Z, [, \\, ], ^ and _.", Exit.USAGE)
    return ord(key.upper()) & 0x1F
