"""A person's terminals and commands in this session: opened, capped, ended with reasons.

They are processes of the agent's user, and not the agent's: they go on when a run ends, and end
with the worker. What happens in them counts as activity, and leaves something to save.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from chassis.duplex import Duplex
from chassis.errors import BerthError, NotFound, Stale
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.terminals import (
    CloseCode,
    Columns,
    ExecCommand,
    Executed,
    Rows,
    TerminalName,
)
from executor.agents.environment import tools_environment
from executor.services.worker import Worker
from executor.terminals.commands import run_command
from executor.terminals.kept import Kept, Whose, open_pty
from executor.terminals.terminal import Size, Terminal, shell_in
from executor.terminals.viewer import Viewer

MOST_COMMANDS = 8
"""At once, in one session."""
TEND_SECONDS = 15.0
SAVE_SECONDS = 60.0
"""After the first activity since the last save."""
FOR_WRITERS = 4
"""One place of so many: who may only look takes none of them."""
LISTENING_SECONDS = 2.0
"""Without its way out a terminal starts all the same."""

_log = get_logger()

Talk = Callable[[Duplex], Awaitable[None]]


class AskedTerminal(msgspec.Struct, frozen=True, kw_only=True):
    terminal: TerminalName = "main"
    mode: str = "read"
    columns: Columns = 80
    rows: Rows = 24

    @property
    def writes(self) -> bool:
        return self.mode == "write"


class Terminals:
    """`save_left` is asked for when there is something to save, now and then."""

    def __init__(self, worker: Worker, save_left: Callable[[], None]) -> None:
        self._worker = worker
        self._save_left = save_left
        self._whose = Whose(identity=worker.threads.identity, spared=worker.spared)
        self._terminals: dict[str, Terminal] = {}
        self._viewers: dict[str, int] = {}
        self._opening = asyncio.Lock()
        self._closed: tuple[int, str] | None = None
        self._commands: set[asyncio.Task[Executed]] = set()
        self._saving: asyncio.TimerHandle | None = None
        self._tending: asyncio.Task[None] | None = None
        worker.saves.beside = self

    async def attach(self, asked: AskedTerminal) -> Talk:
        """What to do with the connection once there is one. Raises `BerthError`."""
        async with self._opening:
            self._check_open()
            terminal = self._known(asked.terminal) or await self._open(asked)
        most = self._worker.settings.terminal_viewers
        if not asked.writes:
            most -= most // FOR_WRITERS
        if self._viewers.get(terminal.name, 0) >= most:
            raise BerthError(Code.RATE_LIMITED, f"{most} viewers are here already", retry_after=5)
        if asked.writes:
            terminal.resize(Size(asked.columns, asked.rows))

        async def talk(socket: Duplex) -> None:
            self._viewers[terminal.name] = self._viewers.get(terminal.name, 0) + 1
            try:
                await Viewer(terminal, socket, writes=asked.writes).run()
            finally:
                self._left(terminal)

        return talk

    async def run(self, asked: ExecCommand) -> Executed:
        """Raises `BerthError`."""
        self._check_open()
        if len(self._commands) >= MOST_COMMANDS:
            detail = f"{MOST_COMMANDS} commands run in this session"
            raise BerthError(Code.RATE_LIMITED, detail, retry_after=1)
        # counted before anything is waited for
        running = asyncio.create_task(self._run(asked))
        self._commands.add(running)
        running.add_done_callback(self._commands.discard)
        try:
            return await running
        except asyncio.CancelledError:
            if self._closed is None:
                raise
            raise Stale(Code.WORKER_NOT_RUNNING, self._closed[1]) from None

    async def close_all(self, code: int, reason: str) -> None:
        """None is opened until `reopen`."""
        self._closed = (code, reason)
        commands = list(self._commands)
        for command in commands:
            command.cancel()
        async with self._opening:  # one that is half open is among them, or refused
            closing = [one.close(code, reason) for one in self._terminals.values()]
        await asyncio.gather(*closing, *commands, return_exceptions=True)
        self._terminals.clear()
        if self._tending is not None:
            self._tending.cancel()
            self._tending = None
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None

    def reopen(self) -> None:
        self._closed = None

    # --- while the workspace is read --------------------------------------------------------------

    @property
    def present(self) -> bool:
        """Something of theirs runs, which no save ends."""
        return bool(self._whose.spared)

    def pause(self) -> None:
        self._whose.spared.hold()

    def resume(self) -> None:
        self._whose.spared.let_go()

    # ----------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed is not None or not self._worker.status.ready:
            how = "send a message: the session's worker is started for its next run"
            raise Stale(Code.WORKER_NOT_RUNNING, f"there is no terminal here now: {how}")

    def _known(self, name: str) -> Terminal | None:
        terminal = self._terminals.get(name)
        if terminal is not None and terminal.closed is not None:
            del self._terminals[name]
            return None
        return terminal

    async def _open(self, asked: AskedTerminal) -> Terminal:
        if not asked.writes:
            detail = f"no terminal {asked.terminal!r} is open, and your role may not open one"
            raise NotFound(Code.NOT_FOUND, detail)
        self._forget_ended()
        most = self._worker.settings.terminals
        if len(self._terminals) >= most:
            self._forget_ended(unseen=True)
        if len(self._terminals) >= most:
            names = ", ".join(sorted(self._terminals))
            detail = f"{most} terminals are open in this session: close one of {names}"
            raise BerthError(Code.RATE_LIMITED, detail, retry_after=5)
        size = Size(asked.columns, asked.rows)
        try:
            terminal = await self._started(asked.terminal, size)
        except OSError as error:
            _log.warning("terminal_not_started", reason=str(error))
            detail = f"no terminal could be started: {error.strerror}"
            raise Stale(Code.CONFLICT, detail) from error
        self._terminals[asked.terminal] = terminal
        self._active()
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend(), name="terminals")
        _log.info("terminal_opened", terminal=asked.terminal)
        return terminal

    async def _started(self, name: str, size: Size) -> Terminal:
        settings = self._worker.settings
        master, slave = await self._worker.threads.run(open_pty)
        shell = shell_in(settings.agent_path)
        try:
            kept = await Kept.start(
                [shell],
                env={**await self._environment(), "TERM": "xterm-256color", "SHELL": shell},
                cwd=settings.workspace_dir,
                whose=self._whose,
                stdin=slave,
                stdout=slave,
                stderr=slave,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return Terminal(
            name,
            master=master,
            kept=kept,
            size=size,
            scrollback_bytes=settings.terminal_scrollback_bytes,
            on_activity=self._active,
        )

    async def _run(self, asked: ExecCommand) -> Executed:
        cwd = await self._worker.threads.run(self._directory, asked.cwd)
        self._active()
        try:
            with self._worker.status.in_use():
                return await run_command(
                    asked, env=await self._environment(), cwd=cwd, whose=self._whose
                )
        except OSError as error:
            detail = f"the command could not be started: {error.strerror}"
            raise Stale(Code.CONFLICT, detail) from error
        finally:
            self._active()

    async def _environment(self) -> dict[str, str]:
        settings, loopback = self._worker.settings, self._worker.loopback
        if loopback is not None:
            await loopback.listening(within=LISTENING_SECONDS)
        return tools_environment(
            home=settings.home_dir,
            path=settings.agent_path,
            granted=settings.egress,
            origin=loopback.url("") if loopback is not None else None,
        )

    def _directory(self, asked: str) -> Path:
        """In a thread with the agent's identity: what that may not enter is no directory here."""
        workspace = self._worker.settings.workspace_dir.resolve()
        try:
            found = (workspace / asked).resolve(strict=True)
        except (OSError, RuntimeError):
            found = None
        if found is None or not found.is_relative_to(workspace) or not found.is_dir():
            expected = "a directory of the workspace, relative to it"
            raise BerthError(
                Code.VALIDATION, f"cwd: expected {expected}", field="cwd", expected=expected
            )
        return found

    def _left(self, terminal: Terminal) -> None:
        self._viewers[terminal.name] -= 1
        if not self._viewers[terminal.name]:
            del self._viewers[terminal.name]
        # whoever comes next gets a new one: this one's end was told
        if terminal.over and self._terminals.get(terminal.name) is terminal:
            del self._terminals[terminal.name]

    def _active(self) -> None:
        self._worker.status.touch()
        self._worker.saves.touched()
        if self._saving is None and self._closed is None:
            loop = asyncio.get_running_loop()
            self._saving = loop.call_later(SAVE_SECONDS, self._save)

    def _save(self) -> None:
        self._saving = None
        self._save_left()

    async def _tend(self) -> None:
        while self._terminals:
            await asyncio.sleep(TEND_SECONDS)
            for name, terminal in list(self._terminals.items()):
                if (why := self._idle(terminal)) is not None:
                    terminal.close_soon(CloseCode.CLOSED, why)
                    del self._terminals[name]
            self._forget_ended()
        self._tending = None

    def _idle(self, terminal: Terminal) -> str | None:
        now, settings = time.monotonic(), self._worker.settings
        if now - terminal.active_at > settings.terminal_idle_seconds:
            return f"nothing happened in it for {settings.terminal_idle_seconds:g} s"
        alone = not self._viewers.get(terminal.name)
        if alone and now - terminal.watched_at > settings.terminal_detached_seconds:
            return f"nobody looked at it for {settings.terminal_detached_seconds:g} s"
        return None

    def _forget_ended(self, *, unseen: bool = False) -> None:
        """`unseen`: also those whose end nobody came to see; their room is needed."""
        for name, terminal in list(self._terminals.items()):
            if terminal.closed is not None or (unseen and terminal.over):
                del self._terminals[name]
