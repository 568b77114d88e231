"""The agent's process: explicit environment, pipes, its standard error in a bounded file, its
tree's end.

Between the executor and the agent stands a keeper (`executor.agents.keeper`): when that has ended,
no process of the agent is left.
"""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Self
from uuid import uuid4

from contracts.reasons import Reason
from executor.agents import keeper
from executor.agents.ending import end_agent
from executor.agents.errors import AgentFailed
from executor.agents.spared import Spared
from executor.identity import Identity, spawned_as
from executor.threads import in_thread

PIPE_LIMIT = 1024 * 1024
STDERR_LIMIT = 256 * 1024
KILL_GRACE = 5.0
DEFAULT_GRACE = 5.0
POLL = 0.02
READ_OUT = 1.0
"""Seconds for an agent to end by itself once there is nothing more to read: what it has not written
down yet it writes then, while a signal ends some of them where they are.
"""


class BoundedFile:
    """Keeps the last bytes that were written: at most `limit`, at least half of it."""

    def __init__(self, path: Path, *, limit: int = STDERR_LIMIT) -> None:
        self._path = path
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b", buffering=0)

    def write(self, data: bytes) -> None:
        # a full disk costs the log, never the reading of what is to be logged
        with contextlib.suppress(OSError):
            self._write(data)

    def _write(self, data: bytes) -> None:
        self._file.write(data[-self._limit :])
        if self._file.tell() > self._limit:
            kept = self._last(self._limit // 2)
            self._file.seek(0)
            self._file.truncate()
            self._file.write(kept)

    def _last(self, size: int) -> bytes:
        end = self._file.tell()
        self._file.seek(max(0, end - size))
        kept = self._file.read()
        self._file.seek(end)
        return kept

    def tail(self, size: int) -> str:
        kept = self._path.read_bytes()[-size:] if self._file.closed else self._last(size)
        return kept.decode(errors="replace")

    def close(self) -> None:
        self._file.close()


class AgentProcess:
    def __init__(
        self,
        process: asyncio.subprocess.Process,
        stderr: BoundedFile,
        *,
        mark: str,
        identity: Identity | None,
        spared: Spared,
    ) -> None:
        self._process = process
        self._mark = mark
        self._identity = identity
        self._spared = spared
        self._stderr = stderr
        self._draining = asyncio.create_task(self._drain_stderr())
        self._exited = asyncio.Event()
        self._clearing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._watch_exit()

    @classmethod
    async def start(
        cls,
        command: list[str],
        *,
        env: dict[str, str],
        cwd: Path,
        stderr: Path,
        grace: float = DEFAULT_GRACE,
        identity: Identity | None = None,
        spared: Spared | None = None,
    ) -> Self:
        """`env` is the whole environment. `grace`: seconds for its tree if the executor dies.

        `identity`: whose process it is; every process of that uid but the `spared` is then the
        agent's.
        """
        mark = uuid4().hex
        spared = spared or Spared()
        log = BoundedFile(
            stderr
        )  # first: if it cannot be made, no process is left without an owner
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", keeper.__file__, str(grace), str(cwd), "--", *command,
                env={**env, keeper.MARK: mark}, cwd="/", limit=PIPE_LIMIT, start_new_session=True,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                **spawned_as(identity),
            )
        )  # fmt: skip
        try:
            # Shielded: a start that is cancelled half-way would leave the agent without a keeper.
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            process = await starting
            await cls(process, log, mark=mark, identity=identity, spared=spared).end_tree(grace=0)
            raise
        except OSError as error:
            log.close()
            raise AgentFailed(Reason.AGENT_START_FAILED, f"{command[0]}: {error}") from error
        return cls(process, log, mark=mark, identity=identity, spared=spared)

    @property
    def pid(self) -> int:
        """The keeper's."""
        return self._process.pid

    @property
    def stdin(self) -> asyncio.StreamWriter:
        if self._process.stdin is None:
            raise RuntimeError("the agent was started without pipes")
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        if self._process.stdout is None:
            raise RuntimeError("the agent was started without pipes")
        return self._process.stdout

    @property
    def exit_code(self) -> int | None:
        """128 + n after signal n; None while it runs."""
        code = self._process.returncode
        return code if code is None or code >= 0 else 128 - code

    def stderr_tail(self, size: int = 1000) -> str:
        return self._stderr.tail(size).strip()

    def explain(self, failure: AgentFailed) -> AgentFailed:
        """The failure with what is known of the process: its exit code and its last words."""
        parts = [failure.detail]
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        if tail := self.stderr_tail():
            parts.append(f"it printed: {tail}")
        return AgentFailed(failure.reason, "; ".join(parts))

    def tree(self) -> list[int]:
        """Empty once the keeper has ended: its pid may be somebody else's by then."""
        if self._exited.is_set():
            return []
        if self._identity is not None:
            # of the same uid, and not the agent's
            people = self._spared.processes()
            return self._identity.processes(keep=frozenset({self.pid, *people}))
        return keeper.descendants(self.pid)

    async def end_tree(self, *, grace: float, hears_end: bool = True) -> None:
        """The end of its input, SIGTERM, SIGKILL after `grace` seconds; afterwards no process of
        the agent is left. `hears_end`: it ends with its input.
        """
        if not self._exited.is_set():
            self.resume_tree()
        if not self._exited.is_set() and hears_end and grace > 0:
            self.stdin.close()
            await self._await_exit(min(grace, READ_OUT))
        if not self._exited.is_set():
            self._signal(signal.SIGTERM if grace > 0 else signal.SIGINT)
            await self._await_exit(grace)
        if not self._exited.is_set():
            self._signal(signal.SIGINT)
            await self._await_exit(KILL_GRACE)
        await self._kill_rest()
        if self._clearing is not None:
            # it must not meet the processes of the next agent
            await asyncio.wait({self._clearing})
        with contextlib.suppress(TimeoutError):
            # asyncio tells the exit code only when every pipe is closed.
            await asyncio.wait_for(self._process.wait(), KILL_GRACE)
        self._draining.cancel()
        await asyncio.gather(self._draining, return_exceptions=True)
        self._stderr.close()

    async def _await_exit(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), seconds)

    async def _kill_rest(self) -> None:
        """For a keeper that was stopped or killed itself: its orphans are known by their uid, or
        by their mark.
        """
        if self._identity is not None:
            await in_thread(end_agent, self._identity, self._spared)
        else:
            await self._kill_marked()
        if not self._exited.is_set():
            self._signal(signal.SIGKILL)
            await self._exited.wait()

    async def _kill_marked(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + keeper.GIVE_UP
        while left := [*self.tree(), *keeper.marked(self._mark, keep=self.pid)]:
            if loop.time() > give_up:
                break
            keeper.signal_all(left, signal.SIGKILL)
            await asyncio.sleep(0.01)

    def _watch_exit(self) -> None:
        """asyncio's own wait returns only when nobody holds the pipes, orphans included."""
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._on_exit()
            return
        except OSError:
            # the kernel of a sandbox need not have it
            self._watching = asyncio.create_task(self._poll_exit())
            return

        def exited() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._on_exit()

        loop.add_reader(descriptor, exited)

    async def _poll_exit(self) -> None:
        """Leaves the exit code to asyncio, which may have it already."""
        while not has_ended(self.pid):  # noqa: ASYNC110  # it happens in another process
            await asyncio.sleep(POLL)
        self._on_exit()

    def _on_exit(self) -> None:
        self._exited.set()
        self._clearing = asyncio.create_task(self._kill_rest())

    def stop_tree(self) -> None:
        """Pauses every process of the agent, also those started meanwhile."""
        keeper.freeze(self.tree)

    def resume_tree(self) -> None:
        """The youngest first: nobody wakes to see a child of its own stopped."""
        keeper.signal_all([*sorted(self.tree(), reverse=True), self.pid], signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _drain_stderr(self) -> None:
        """Always reads: an agent whose standard error is full stands still."""
        if self._process.stderr is None:
            return
        while data := await self._process.stderr.read(64 * 1024):
            self._stderr.write(data)


def has_ended(child: int) -> bool:
    """Whether somebody waited for it already or not."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
