"""The default project's first API key: made once, kept in the state directory for the commands."""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import httpx

from cli.embedded.errors import StartFailed
from cli.embedded.processes import PLAIN_ENV
from cli.embedded.secret_files import write_secret
from cli.embedded.state import StateDirectory
from cli.stack.record import API_KEY

_WITHIN = 60.0


async def make_first_key(state: StateDirectory, env: Mapping[str, str]) -> None:
    """`env` is the control plane's. The key travels through a pipe and is shown to nobody."""
    argv = ("-m", "control_plane.bootstrap", "--project", "default", "--user", "admin")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        env={**PLAIN_ENV, **env},
        cwd=state.home,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_WITHIN):
            output, errors = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise StartFailed(f"The first key was not made within {_WITHIN:g} s.") from error
    if process.returncode != 0:
        told = errors.decode(errors="replace").strip()
        raise StartFailed(f"The first key could not be made:\n{told}")
    path = state.home / API_KEY
    path.unlink(missing_ok=True)
    write_secret(path, _key_of(output))


async def key_works(url: str, key: str) -> bool:
    """False for a key of another database: this one was made anew."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.get(
            f"{url}/api/v1/sessions",
            params={"limit": 1},
            headers={"Authorization": f"Bearer {key}"},
        )
    return answer.status_code != 401


def _key_of(output: bytes) -> str:
    try:
        found: Any = json.loads(output.splitlines()[-1])
        return str(found["key"])
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise StartFailed("What makes the first key gave no key: is its version ours?") from error
