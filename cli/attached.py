"""One terminal of a session, shown in this one: connected, and connected again after every cut."""

import asyncio
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from chassis.dialling import Dialled
from chassis.dialling import Refused as NoWebSocket
from chassis.duplex import Closed
from cli.client import Place, Refused
from cli.exits import CliError, Exit
from cli.terminal import CLEARED, OwnTerminal
from contracts.errors import RENDERINGS, Code, Problem
from contracts.terminals import (
    COME_BACK,
    MESSAGE_BYTES,
    AnyToViewer,
    Attached,
    CloseCode,
    Exited,
    InputDropped,
    ReadOnly,
)

DIAL_SECONDS = 20.0
SEND_SECONDS = 60.0
PING_SECONDS = 20.0
SILENCE_SECONDS = 60.0

_ABNORMAL = 1006
_TRIES = 30
_LONGEST_DELAY = 5.0


class Detached(Exception):
    """By its key, or for there is nothing more to be typed; the terminal goes on."""


class AttachedTerminal:
    def __init__(
        self,
        place: Place,
        session_id: UUID,
        own: OwnTerminal,
        *,
        terminal: str,
        mode: str,
        detach_key: int,
    ) -> None:
        self._place = place
        self._path = f"/api/v1/session-workers/{session_id}/tty"
        self._own = own
        self._terminal = terminal
        self._mode = mode
        self._detach_key = detach_key
        self._seen = False
        """It was connected once."""
        self._exit_code: int | None = None

    async def run(self) -> int:
        """The exit code of what ran in it. Raises `Detached`, `CliError`."""
        failures = 0
        while True:
            try:
                socket = await self._dialled()
            except (Refused, OSError, TimeoutError, Closed) as error:
                failures += 1
                self._give_up(error, failures)
            else:
                failures = 0
                closed = await self._show(socket)
                if self._exit_code is not None:
                    return self._exit_code
                self._check(closed)
                self._say("the connection was cut; connecting again")
            await asyncio.sleep(min(_LONGEST_DELAY, 0.2 * 2 ** min(failures, 6)))

    async def _dialled(self) -> Dialled:
        size = self._own.size
        query = urlencode(
            {
                "terminal": self._terminal,
                "mode": self._mode,
                "columns": size.columns,
                "rows": size.rows,
            }
        )
        headers = {"Authorization": f"Bearer {self._place.key}"}
        url = f"{self._place.url}{self._path}?{query}"
        try:
            return await Dialled.dial(url, headers=headers, within=DIAL_SECONDS)
        except NoWebSocket as refused:
            raise Refused(_problem(refused)) from refused

    def _give_up(self, error: Exception, failures: int) -> None:
        """Raises, unless it may be different soon."""
        passing = not isinstance(error, Refused) or _passing(error.problem)
        if self._seen and passing and failures <= _TRIES:
            return
        if isinstance(error, Refused):
            raise error
        why = str(error) or type(error).__name__
        raise CliError(f"{self._place.url} cannot be reached: {why}.", Exit.UNREACHABLE)

    def _check(self, closed: Closed) -> None:
        """Raises, unless the terminal goes on."""
        if closed.code not in {*COME_BACK, _ABNORMAL}:
            what = closed.reason or f"it was closed ({closed.code})"
            unknown_key = closed.code == CloseCode.UNAUTHENTICATED
            code = Exit.UNREACHABLE if unknown_key else Exit.REFUSED
            raise CliError(f"The terminal ended: {what}.", code)

    async def _show(self, socket: Dialled) -> Closed:
        self._own.forget_typed()
        if self._seen:
            self._own.show(CLEARED)  # what it showed before comes again
        tasks = [
            # first: what detaches also ends the listening
            asyncio.create_task(self._type(socket)),
            asyncio.create_task(self._listen(socket)),
            asyncio.create_task(self._resize(socket)),
            asyncio.create_task(_keep(socket)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            socket.abort()
        return next(task for task in tasks if task in done).result()

    async def _listen(self, socket: Dialled) -> Closed:
        try:
            while True:
                message = await socket.receive()
                if isinstance(message, bytes):
                    self._own.show(message)
                else:
                    self._hear(message)
        except Closed as closed:
            return closed

    def _hear(self, message: str) -> None:
        try:
            told = msgspec.json.decode(message, type=AnyToViewer)
        except msgspec.MsgspecError:
            return  # of a later version
        match told:
            case Attached():
                if not self._seen and not told.writes:
                    self._say("read-only: your role, or --read-only, lets you look")
                self._seen = True
            case Exited():
                self._exit_code = told.exit_code
            case InputDropped():
                self._say(f"the program reads nothing: {told.bytes} bytes were dropped")
            case ReadOnly():
                self._say("read-only: what you type goes nowhere")
            case _:
                pass

    async def _type(self, socket: Dialled) -> Closed:
        """Raises `Detached`."""
        while True:
            content = await self._own.typed()
            before, detach, _ = content.partition(bytes([self._detach_key]))
            try:
                for at in range(0, len(before), MESSAGE_BYTES):
                    await socket.send(before[at : at + MESSAGE_BYTES], within=SEND_SECONDS)
            except Closed as closed:
                return closed
            except TimeoutError:
                return Closed(CloseCode.SLOW, "what was typed is not taken")
            if detach or not content:
                await socket.close(CloseCode.ENDED, "detached")
                raise Detached

    async def _resize(self, socket: Dialled) -> Closed:
        while True:
            await self._own.resized.wait()
            self._own.resized.clear()
            try:
                told = msgspec.json.encode(self._own.size).decode()
                await socket.send(told, within=SEND_SECONDS)
            except Closed as closed:
                return closed
            except TimeoutError:
                return Closed(CloseCode.SLOW, "what was typed is not taken")

    def _say(self, text: str) -> None:
        self._own.show(f"\r\n\x1b[2m[{text}]\x1b[0m\r\n".encode())


async def _keep(socket: Dialled) -> Closed:
    await socket.keep(every=PING_SECONDS, within=SILENCE_SECONDS)
    return Closed(_ABNORMAL)


def _problem(refused: NoWebSocket) -> Problem:
    try:
        return msgspec.json.decode(refused.body, type=Problem)
    except msgspec.MsgspecError:
        title = f"It answered {refused.status}"
        return Problem(title=title, status=refused.status, code="", detail="is the URL right?")


def _passing(problem: Problem) -> bool:
    if problem.code in set(Code):
        return RENDERINGS[Code(problem.code)].retry
    return problem.status >= 500
