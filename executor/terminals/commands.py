"""A command without a terminal: bounded in its time and in what is kept of what it prints."""

import asyncio
import contextlib
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from contracts.terminals import ExecCommand, Executed
from executor.terminals.kept import Kept, Whose

OUTPUT_BYTES = 1024 * 1024
"""Of each of standard output and standard error; what comes after is read and thrown away."""
READ_BYTES = 64 * 1024
CLOSING_SECONDS = 2.0
"""For pipes to close when nobody is left that has them."""
TIMED_OUT = 137


class _Output:
    def __init__(self) -> None:
        self.content = bytearray()
        self.truncated = False

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (part := await stream.read(READ_BYTES)):
            room = OUTPUT_BYTES - len(self.content)
            self.content += part[:room]
            self.truncated = self.truncated or len(part) > room

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


async def run_command(
    asked: ExecCommand, *, env: Mapping[str, str], cwd: Path, whose: Whose
) -> Executed:
    """Whatever happens, nothing of it is left. Raises `OSError`."""
    began = time.monotonic()
    line = asked.command
    kept = await Kept.start(
        ["/bin/sh", "-c", line] if isinstance(line, str) else line,
        env=env,
        cwd=cwd,
        whose=whose,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    outputs = _Output(), _Output()
    reading = [
        asyncio.create_task(output.read(stream))
        for output, stream in zip(outputs, (kept.stdout, kept.stderr), strict=True)
    ]
    timed_out = False
    try:
        code = await asyncio.wait_for(kept.wait(), asked.timeout_seconds)
    except TimeoutError:
        timed_out, code = True, TIMED_OUT
    finally:
        await kept.end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*reading, return_exceptions=True), CLOSING_SECONDS
            )
    out, err = outputs
    return Executed(
        stdout=out.text,
        stderr=err.text,
        exit_code=code,
        timed_out=timed_out,
        truncated=out.truncated or err.truncated,
        duration_ms=round((time.monotonic() - began) * 1000),
    )
