"""Asks the person at the terminal what the agent asks, unless somebody else is faster."""

import asyncio
import contextlib
import sys
from uuid import UUID

from cli.client import ApiClient, Refused
from cli.output import Output
from contracts.errors import Code
from contracts.events import HumanLoopRequested
from contracts.human_loop import Replied, Reply

_ALLOW = frozenset({"y", "yes", "a", "allow"})
_REJECT = frozenset({"n", "no", "r", "reject"})


class Asking:
    def __init__(self, client: ApiClient, output: Output) -> None:
        self._client = client
        self._output = output
        self._open: dict[UUID, asyncio.Task[None]] = {}

    def ask(self, request: HumanLoopRequested) -> None:
        if request.request_id not in self._open:
            self._open[request.request_id] = asyncio.create_task(self._ask(request))

    def resolved(self, request_id: UUID) -> None:
        """Answered here or elsewhere: nobody needs to be asked any more."""
        task = self._open.pop(request_id, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, request: HumanLoopRequested) -> None:
        while True:
            reply = await self._answer(request)
            if reply is None:
                continue
            try:
                path = f"/api/v1/human-loop/{request.request_id}/reply"
                await self._client.post(path, Replied, reply)
            except Refused as refusal:
                self._output.error(str(refusal))
                if refusal.problem.code == Code.VALIDATION:
                    continue
            return

    async def _answer(self, request: HumanLoopRequested) -> Reply | None:
        if request.type == "question":
            self._output.part("  your answer: ", "bold")
            return Reply(text=(await read_line()).strip())
        self._output.part("  allow it? [y/n] ", "bold")
        said = (await read_line()).strip().lower()
        if said in _ALLOW:
            return Reply(decision="allow")
        return Reply(decision="reject") if said in _REJECT else None


async def read_line() -> str:
    """From the terminal; can be cancelled, which a blocking read cannot."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ready.set)
    try:
        await ready.wait()
        line = sys.stdin.readline()
    finally:
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(sys.stdin.fileno())
    if not line:  # Ctrl-D: nobody is there
        await asyncio.Event().wait()
    return line
