"""Keeps the pipe to the relay (`executor.agents.loopback`) running, as long as the executor does.

It has the agent's group, by which it reaches the socket, and a uid of its own: the agent can not
signal or trace it, and it is none of the processes that end with a run.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from chassis.logs import get_logger
from executor.agents import loopback
from executor.identity import Identity, spawned_as

BACKOFF_FIRST = 0.1
BACKOFF_LONGEST = 5.0
STEADY_SECONDS = 30.0
"""One that ran so long begins anew with short pauses."""
LAST_WORDS = 2000

_log = get_logger()


class Loopback:
    def __init__(self, directory: Path, port: int, identity: Identity | None) -> None:
        self.port = port
        """Where it listens, or listened last: agents know it. 0: it never did, and takes any."""
        self.taken = 0
        """Connections so far: whether anybody asked for anything."""
        self.ends = 0
        """How often it ended: what it piped was cut then, and the relay saw only clients that went.
        """
        self._any_port = port == 0
        self._socket = directory / "agent.sock"
        self._identity = identity.beside() if identity else None
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Once it is wanted: beside the starts of others it would take them half of their own."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="loopback")

    async def listening(self, *, within: float) -> bool:
        """Started by now. False if it does not listen within so many seconds."""
        self.start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), within)
        return self._listening.is_set()

    def url(self, path: str) -> str | None:
        """None: it has no port yet."""
        return f"http://127.0.0.1:{self.port}{path}" if self.port else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = BACKOFF_FIRST
        while True:
            began = loop.time()
            try:
                await self._run_once()
            except OSError as error:
                _log.error("loopback_not_started", reason=str(error))
            if loop.time() - began > STEADY_SECONDS:
                pause = BACKOFF_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_LONGEST)

    async def _run_once(self) -> None:
        # shielded: a start that is cancelled half-way would leave nobody to end it
        starting = asyncio.create_task(self._started())
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _ended(await starting)
            raise
        try:
            await self._watch(process)
        finally:
            self._listening.clear()
            await _ended(process)

    async def _started(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", loopback.__file__, str(self.port), str(self._socket),
            env={}, cwd="/", start_new_session=True, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            **spawned_as(self._identity),
        )  # fmt: skip

    async def _watch(self, process: Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("the loopback listener was started without pipes")
        words, _ = await asyncio.gather(
            _last_words(process.stderr), self._listen_to(process.stdout)
        )
        _log.error("loopback_ended", said=words.decode(errors="replace").strip())

    async def _listen_to(self, said: asyncio.StreamReader) -> None:
        if not (line := await said.readline()):
            # the port that it had may be somebody else's by now
            self.port = 0 if self._any_port else self.port
            return
        self.port = int(line.split()[1])
        self._listening.set()
        while await said.readline():
            self.taken += 1
        self.ends += 1


async def _last_words(said: asyncio.StreamReader) -> bytes:
    words = b""
    while part := await said.read(LAST_WORDS):
        words = (words + part)[-LAST_WORDS:]
    return words


async def _ended(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
