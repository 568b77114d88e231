"""Runs one shell command as a child, as an agent's own tool would: in its own process group."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass

OUTPUT_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ShellResult:
    output: str
    exit_code: int


async def run(command: str, *, cwd: str) -> ShellResult:
    """Both outputs together, cut at 1 MiB. Cancelling it kills the command's group."""
    starting = asyncio.create_task(_start(command, cwd=cwd))
    try:
        process = await asyncio.shield(starting)
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        # Shielded: a child whose start was cancelled half-way would be killed without its group.
        process = await starting
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            # asyncio waits for the pipe too, and a daemon may hold that.
            await asyncio.wait_for(process.wait(), 1.0)
        raise
    text = output[:OUTPUT_LIMIT].decode(errors="replace")
    return ShellResult(text, process.returncode or 0)


async def _start(command: str, *, cwd: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command, cwd=cwd, start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def detach(command: str, *, cwd: str) -> ShellResult:
    """Leaves the command running as a daemon: a session of its own, its parent gone."""
    daemonize = '(setsid /bin/sh -c "$1" >/dev/null 2>&1 </dev/null &)'
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", daemonize, "sh", command, cwd=cwd, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await process.wait()
    return ShellResult("started in the background\n", process.returncode or 0)
