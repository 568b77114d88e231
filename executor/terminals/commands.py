"""A command without a terminal: bounded in its time and in what is kept of what it prints."""

import asyncio
import os
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path

from contracts.terminals import ExecCommand, Executed
from executor.terminals.kept import Kept, Whose

OUTPUT_BYTES = 1024 * 1024
"""Of each of standard output and standard error; what comes after is read and thrown away."""
CLOSING_SECONDS = 2.0
"""For pipes to close when nobody is left that has them."""
TIMED_OUT = 137


class _Output(asyncio.Protocol):
    """What comes out of one pipe. `end` is the other end of it, the command's alone once it has
    started: whoever else held it open would be waited for.
    """

    def __init__(self, end: FileIO) -> None:
        self.end = end
        self.truncated = False
        self.closed = asyncio.Event()
        self._content = bytearray()

    @property
    def text(self) -> str:
        return self._content.decode(errors="replace")

    def data_received(self, data: bytes) -> None:
        room = OUTPUT_BYTES - len(self._content)
        self._content += data[:room]
        self.truncated = self.truncated or len(data) > room

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed.set()


async def run_command(
    asked: ExecCommand, *, env: Mapping[str, str], cwd: Path, whose: Whose
) -> Executed:
    """Whatever happens, nothing of it is left. Raises `OSError`."""
    began = time.monotonic()
    timed_out = False
    async with _output() as out, _output() as err:
        kept = await _started(asked, (out, err), env=env, cwd=cwd, whose=whose)
        try:
            code = await asyncio.wait_for(kept.wait(), asked.timeout_seconds)
        except TimeoutError:
            timed_out, code = True, TIMED_OUT
        finally:
            await kept.end()
        for output in (out, err):
            await _read_to_its_end(output)
    return Executed(
        stdout=out.text,
        stderr=err.text,
        exit_code=code,
        timed_out=timed_out,
        truncated=out.truncated or err.truncated,
        duration_ms=round((time.monotonic() - began) * 1000),
    )


async def _started(
    asked: ExecCommand,
    outputs: tuple[_Output, _Output],
    *,
    env: Mapping[str, str],
    cwd: Path,
    whose: Whose,
) -> Kept:
    line = asked.command
    try:
        return await Kept.start(
            ["/bin/sh", "-c", line] if isinstance(line, str) else line,
            env=env,
            cwd=cwd,
            whose=whose,
            stdin=DEVNULL,
            stdout=outputs[0].end.fileno(),
            stderr=outputs[1].end.fileno(),
        )
    finally:
        for output in outputs:
            output.end.close()


@asynccontextmanager
async def _output() -> AsyncGenerator[_Output]:
    """Closed at its end, whoever has got away with the other side of it."""
    ours, theirs = os.pipe()
    with FileIO(ours, "rb") as pipe, FileIO(theirs, "wb") as end:
        output = _Output(end)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: output, pipe)
        try:
            yield output
        finally:
            transport.close()


async def _read_to_its_end(output: _Output) -> None:
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            await output.closed.wait()
    except TimeoutError:
        output.truncated = True
