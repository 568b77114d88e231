"""Terminals: what goes over a terminal's WebSocket, and commands that run without one.

A binary message is bytes of the terminal, a text message one JSON object: `FromViewer` or
`ToViewer` by its `type`. From the client to the executor nobody in between reads either.
"""

import enum
from typing import Annotated
from uuid import UUID

import msgspec

from contracts.endpoint import Endpoint
from contracts.wire import Body, Wire

MESSAGE_BYTES = 64 * 1024
"""Of one message, in either direction."""

EXECUTOR_TTY = "/tty"
"""Of an executor: a WebSocket, `?terminal=`, `?mode=`, `?columns=`, `?rows=`."""

MANAGER_TTY = "/internal/v1/workers/{worker_id}/tty"
"""Of a manager: the same with a ticket in `TICKET_HEADER`; the ticket says whether it may write."""

MANAGER_EXEC = "/internal/v1/workers/{worker_id}/exec"
"""Of a manager: POST of `ExecCommand` with a ticket for `terminal.exec`; answers `Executed`."""

EXEC_SECONDS = 600.0
"""The longest that a command may take."""

TerminalName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
Columns = Annotated[int, msgspec.Meta(ge=2, le=1000)]
Rows = Annotated[int, msgspec.Meta(ge=2, le=500)]


class CloseCode(enum.IntEnum):
    """Why a terminal's connection ended. 4000 + n says of it what the status n says of HTTP."""

    ENDED = 1000
    """The terminal's process has; `Exited` came before."""
    GOING_AWAY = 1001
    BROKEN = 1011
    """Something between here and the terminal was cut: connect again."""
    RESTARTING = 1012
    """A service is: connect again, the terminal goes on."""
    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    """The role does not allow it any more, or never did."""
    SLOW = 4408
    """What the terminal wrote was not taken for too long: connect again."""
    WORKER_GONE = 4409
    """Stopped or superseded, its terminals with it."""
    CLOSED = 4410
    """By a viewer, or for nothing has happened in it."""
    UNAVAILABLE = 4503


COME_BACK = frozenset(
    {
        CloseCode.GOING_AWAY,
        CloseCode.BROKEN,
        CloseCode.RESTARTING,
        CloseCode.SLOW,
        CloseCode.UNAVAILABLE,
    }
)
"""After these the same terminal may be there again."""


class FromViewer(Wire, frozen=True, kw_only=True, tag_field="type"):
    pass


class Resize(FromViewer, frozen=True, kw_only=True, tag="resize"):
    columns: Columns
    rows: Rows


class CloseTerminal(FromViewer, frozen=True, kw_only=True, tag="close"):
    """For everybody: its processes end."""


class ToViewer(Wire, frozen=True, kw_only=True, tag_field="type"):
    pass


class Attached(ToViewer, frozen=True, kw_only=True, tag="attached"):
    """First of all; then what was written before, then what is written."""

    terminal: str
    writes: bool
    columns: int
    rows: int
    replayed: int
    """Bytes of scrollback that follow."""


class Resized(ToViewer, frozen=True, kw_only=True, tag="resized"):
    columns: int
    rows: int


class Skipped(ToViewer, frozen=True, kw_only=True, tag="skipped"):
    """This viewer was too far behind: so many bytes do not come."""

    bytes: int


class InputDropped(ToViewer, frozen=True, kw_only=True, tag="input_dropped"):
    """The program in the terminal does not read: so many bytes, and what waited before them, are
    gone."""

    bytes: int


class ReadOnly(ToViewer, frozen=True, kw_only=True, tag="read_only"):
    """Told once: what this viewer types goes nowhere."""


class Exited(ToViewer, frozen=True, kw_only=True, tag="exited"):
    """128 + n after signal n."""

    exit_code: int


AnyFromViewer = Resize | CloseTerminal
AnyToViewer = Attached | Resized | Skipped | InputDropped | ReadOnly | Exited

Argument = Annotated[str, msgspec.Meta(max_length=32_768, pattern="^[^\\x00]*$")]


class ExecCommand(Body, frozen=True, kw_only=True):
    command: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=32_768, pattern="^[^\\x00]+$")]
        | Annotated[list[Argument], msgspec.Meta(min_length=1, max_length=1000)]
    )
    """A line for the shell, or a program and its arguments."""
    cwd: Annotated[str, msgspec.Meta(max_length=4096, pattern="^[^\\x00]*$")] = ""
    """Relative to the workspace."""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=EXEC_SECONDS)] = 60.0


class Executed(Wire, frozen=True, kw_only=True):
    """What is no UTF-8 is replaced."""

    stdout: str
    stderr: str
    exit_code: int
    """128 + n after signal n; 137 when the time was over."""
    timed_out: bool = False
    truncated: bool = False
    """Of `stdout`, `stderr` or both only the first part is here."""
    duration_ms: int


EXECUTOR_EXEC = Endpoint("/exec", ExecCommand, Executed, deadline=EXEC_SECONDS + 30)


class CheckTerminal(Wire, frozen=True, kw_only=True):
    """Asked by the gateway while one is open, in the name of whoever opened it."""

    session_id: UUID
    worker_id: UUID
    writes: bool
