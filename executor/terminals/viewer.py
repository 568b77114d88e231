"""One viewer of a terminal: what was written goes out at its pace, what it types goes in."""

import asyncio
from typing import assert_never

import msgspec

from chassis.duplex import Closed, Duplex
from contracts.terminals import (
    AnyFromViewer,
    AnyToViewer,
    Attached,
    CloseCode,
    CloseTerminal,
    Exited,
    InputDropped,
    ReadOnly,
    Resize,
    Resized,
    Skipped,
)
from executor.terminals.terminal import Size, Terminal

SEND_BYTES = 32 * 1024
SEND_SECONDS = 20.0
"""For so much to be taken; who takes nothing is given up."""

End = tuple[int, str]


class Viewer:
    def __init__(self, terminal: Terminal, socket: Duplex, *, writes: bool) -> None:
        self._terminal = terminal
        self._socket = socket
        self._writes = writes
        self._size = terminal.size
        self._notes: list[AnyToViewer] = []
        """Each kind at most once: they are told together with what comes next."""

    async def run(self) -> None:
        """Until one side ends it."""
        self._reading = self._terminal.join()
        tasks = [asyncio.create_task(self._show()), asyncio.create_task(self._listen())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._terminal.leave(self._reading)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        ended = next(task for task in tasks if task.done() and not task.cancelled())
        if (end := ended.result()) is None:
            self._socket.abort()
        else:
            await self._socket.close(*end)

    async def _show(self) -> End | None:
        """None: nobody is there to be told."""
        try:
            await self._introduce()
            while True:
                await self._reading.changed.wait()
                self._reading.changed.clear()
                if (end := await self._catch_up()) is not None:
                    return end
        except TimeoutError:
            return CloseCode.SLOW, "what the terminal wrote is not taken"
        except Closed:
            return None

    async def _introduce(self) -> None:
        terminal = self._terminal
        replayed = terminal.scrollback.end - self._reading.position
        await self._tell(
            Attached(
                terminal=terminal.name,
                writes=self._writes,
                columns=terminal.size.columns,
                rows=terminal.size.rows,
                replayed=replayed,
            )
        )
        if self._writes and replayed:
            terminal.redraw()

    async def _catch_up(self) -> End | None:
        """Tells all there is; and how it ends, if it has."""
        terminal = self._terminal
        while True:
            if terminal.size != self._size:
                self._size = size = terminal.size
                await self._tell(Resized(columns=size.columns, rows=size.rows))
            while self._notes:
                await self._tell(self._notes.pop(0))
            if terminal.closed is not None:
                return terminal.closed
            missed, content = terminal.take(self._reading, SEND_BYTES)
            if missed:
                await self._tell(Skipped(bytes=missed))
            if not content:
                break
            await self._socket.send(content, within=SEND_SECONDS)
        if terminal.exit_code is None:
            return None
        await self._tell(Exited(exit_code=terminal.exit_code))
        return CloseCode.ENDED, "the terminal's program has ended"

    async def _tell(self, message: AnyToViewer) -> None:
        await self._socket.send(msgspec.json.encode(message).decode(), within=SEND_SECONDS)

    def _note(self, message: AnyToViewer) -> None:
        self._notes = [one for one in self._notes if type(one) is not type(message)] + [message]
        self._reading.changed.set()

    async def _listen(self) -> End | None:
        told_read_only = False
        try:
            while True:
                message = await self._socket.receive()
                if isinstance(message, str) and (end := await self._steer(message)) is not None:
                    return end
                if self._writes and isinstance(message, bytes):
                    await self._type(message)
                elif not self._writes and not told_read_only:
                    told_read_only = True
                    self._note(ReadOnly())
        except Closed:
            return None

    async def _type(self, content: bytes) -> None:
        if dropped := await self._terminal.write(content):
            self._note(InputDropped(bytes=dropped))

    async def _steer(self, message: str) -> End | None:
        try:
            asked = msgspec.json.decode(message, type=AnyFromViewer)
        except msgspec.MsgspecError as error:
            return CloseCode.BAD_MESSAGE, str(error)
        if not self._writes:
            return None
        match asked:
            case Resize():
                self._terminal.resize(Size(asked.columns, asked.rows))
            case CloseTerminal():
                # not awaited: this viewer is one of those who hear of it
                self._terminal.close_soon(CloseCode.CLOSED, "it was closed by a viewer")
            case _:
                assert_never(asked)
        return None
