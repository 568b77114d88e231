"""`berth run`: a message to an agent, and its answer as it comes."""

import asyncio
import sys
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.asking import Asking
from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.printer import Printer
from cli.stream import RunStream, Seen
from cli.trees.beginning import Beginning, begin_with, workspace_of
from cli.trees.sending import measured
from contracts.events import HumanLoopRequested, HumanLoopResolved, RunClosed
from contracts.runs import CreateRun, Run, RunOptions, SendMessage


async def run(
    text: Annotated[str, Parameter(help="What to say; `-` reads it from standard input.")],
    /,
    *,
    agent: Annotated[
        str | None, Parameter(help="Of the new session; else the server's own.")
    ] = None,
    session: Annotated[UUID | None, Parameter(help="Go on with this one.")] = None,
    model: str | None = None,
    directory: Annotated[
        str | None,
        Parameter(
            name="--dir",
            help="A directory of this machine: the new session works on a copy of it.",
        ),
    ] = None,
    git: Annotated[
        str | None,
        Parameter(
            help="https://HOST/PATH: cloned inside the new session, as its egress policy allows."
        ),
    ] = None,
    ref: Annotated[str | None, Parameter(help="With --git: a branch, a tag or a commit.")] = None,
    json: Annotated[bool, Parameter(negative=(), help="Each event as a JSON line.")] = False,
    detach: Annotated[bool, Parameter(negative=(), help="Do not wait for the answer.")] = False,
    wait: Annotated[float | None, Parameter(help="Wait at most so many seconds.")] = None,
    no_wait: Annotated[
        bool, Parameter(negative=(), help="End with code 5 when the agent asks a person.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Send a message to an agent and show its answer. Ctrl-C leaves; the run goes on."""
    output = Output()
    beginning = Beginning(directory=directory, git=git, ref=ref)
    _require_fit(beginning, session, agent)
    workspace = workspace_of(beginning)
    place = None if directory is None else await measured(directory)
    said = sys.stdin.read() if text == "-" else text
    options = RunOptions(model=model)
    async with ApiClient(find_place(url, key)) as client:
        if place is not None:
            session = await begin_with(client, place, output, agent=agent, text=said)
        message: CreateRun | SendMessage
        if session is None:
            message = CreateRun(text=said, agent=agent, options=options, workspace=workspace)
        else:
            message = SendMessage(text=said, options=options)
        if detach:
            return await _leave(client, message, session, output, json=json)
        stream = RunStream(client, message=message, session_id=session)
        return await follow(
            client, stream, output, Following(json=json, within=wait, no_wait=no_wait)
        )


def _require_fit(beginning: Beginning, session: UUID | None, agent: str | None) -> None:
    if session is not None and agent is not None:
        raise CliError("A session keeps its agent: leave --agent out.", Exit.USAGE)
    if session is not None and beginning.is_given:
        raise CliError(
            "--dir and --git are for a new session: leave --session out, or give it another"
            " workspace with `berth sessions import-tree`.",
            Exit.USAGE,
        )


async def _leave(
    client: ApiClient,
    message: CreateRun | SendMessage,
    session: UUID | None,
    output: Output,
    *,
    json: bool,
) -> Exit:
    path = f"/api/v1/sessions/{session}/messages" if session else "/api/v1/runs"
    made = await client.post(path, Run, message)
    if json:
        output.json(made)
    else:
        output.line(f"session {made.session_id}\nrun {made.id}")
    return Exit.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    json: bool = False
    within: float | None = None
    no_wait: bool = False


async def follow(client: ApiClient, stream: RunStream, output: Output, wish: Following) -> Exit:
    """Shows the run until it ends, and says how."""
    follower = _Follower(client, stream, output, wish)
    try:
        async with asyncio.timeout(wish.within):
            return await follower.follow()
    except TimeoutError:
        output.note(f"Still not finished after {wish.within:g} s. {_how_to_go_on(stream)}")
        return Exit.WAITING if follower.waits else Exit.STILL_RUNNING
    except asyncio.CancelledError:
        output.note(f"\nLeft; the run goes on. {_how_to_go_on(stream)}")
        raise
    finally:
        await follower.close()


class _Follower:
    def __init__(
        self, client: ApiClient, stream: RunStream, output: Output, wish: Following
    ) -> None:
        self._stream = stream
        self._output = output
        self._wish = wish
        self._printer = Printer(output, json=wish.json)
        self._asking = Asking(client, output) if output.interactive and not wish.json else None
        self._requests: set[UUID] = set()
        self._introduced = False

    @property
    def waits(self) -> bool:
        """For a person."""
        return bool(self._requests)

    async def follow(self) -> Exit:
        async with aclosing(self._stream.events()) as found:
            async for seen in found:
                self._introduce()
                self._printer.show(seen)
                self._mind(seen)
                if isinstance(seen.event, RunClosed):
                    return Exit.OK if seen.event.state == "succeeded" else Exit.RUN_FAILED
                if self.waits and self._wish.no_wait:
                    return Exit.WAITING
        return Exit.RUN_FAILED

    async def close(self) -> None:
        self._printer.end_line()
        if self._asking is not None:
            await self._asking.close()

    def _introduce(self) -> None:
        if not self._introduced:
            self._introduced = True
            self._output.note(f"session {self._stream.session_id}  run {self._stream.run_id}")

    def _mind(self, seen: Seen) -> None:
        match seen.event:
            case HumanLoopRequested() as request:
                self._requests.add(request.request_id)
                if self._asking is not None:
                    self._asking.ask(request)
                else:
                    self._output.note(how_to_reply(request), style="")
            case HumanLoopResolved(request_id=request_id):
                self._requests.discard(request_id)
                if self._asking is not None:
                    self._asking.resolved(request_id)
            case _:
                pass


def how_to_reply(request: HumanLoopRequested) -> str:
    answers = "--text ANSWER" if request.type == "question" else "--allow (or --reject)"
    return f"Answer it with: berth reply {request.request_id} {answers}"


def _how_to_go_on(stream: RunStream) -> str:
    run_id = stream.run_id
    if run_id is None:
        return "It had not been answered yet."
    return f"`berth show {run_id} --follow` shows it, `berth stop {run_id}` cancels it."
