"""The `berth` command as people run it: a process, with an address and a key in its environment."""

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

from cli.settings import search_path
from tests.e2e.client import Client
from tests.fixtures.commands import Done

BERTH = str(Path(sys.executable).parent / "berth")
WITHIN = 120.0


class Command:
    def __init__(self, api: Client) -> None:
        key = api.http.headers["authorization"].removeprefix("Bearer ")
        given = {"BERTH_URL": api.url, "BERTH_KEY": key}
        self._environment = {"PATH": search_path(), "HOME": tempfile.gettempdir(), **given}

    async def run(self, *words: str, said: str = "") -> Done:
        """Whatever its code."""
        return await run(BERTH, *words, environment=self._environment, said=said)

    async def done(self, *words: str, said: str = "") -> Done:
        found = await self.run(*words, said=said)
        assert found.code == 0, (words, found)
        return found


async def git(place: Path, *words: str, said: str = "") -> str:
    """The real one of this machine, whatever it is configured to."""
    who = ("-c", "user.name=Person", "-c", "user.email=p@example.test")
    environment = {"PATH": search_path(), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    found = await run("git", "-C", str(place), *who, *words, environment=environment, said=said)
    assert found.code == 0, (words, found)
    return found.out


async def run(*words: str, environment: dict[str, str], said: str = "") -> Done:
    process = await asyncio.create_subprocess_exec(
        *words,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN):
            output, errors = await process.communicate(said.encode())
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return Done(process.returncode or 0, output.decode(), errors.decode())
