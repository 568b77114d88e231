"""The default project's first API key: made where the database is, for there is no key yet to ask
the API with. A stack of this machine keeps it in its state directory, for the commands.
"""

import asyncio
import sys
from collections.abc import Mapping
from uuid import UUID

import httpx
import msgspec

from cli.embedded.errors import StartFailed
from cli.embedded.processes import PLAIN_ENV
from cli.embedded.secret_files import write_secret
from cli.embedded.state import StateDirectory
from cli.stack.record import API_KEY

_WITHIN = 60.0


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What `control_plane.bootstrap` prints."""

    project_id: UUID
    user_id: UUID
    key_id: UUID
    key: str


async def make_first_key(state: StateDirectory, env: Mapping[str, str]) -> None:
    """`env` is the control plane's. The key travels through a pipe and is shown to nobody."""
    made = await bootstrap(env, name="bootstrap")
    path = state.home / API_KEY
    path.unlink(missing_ok=True)
    write_secret(path, made.key)


async def bootstrap(env: Mapping[str, str], *, name: str) -> Made:
    """`env` names the database. Raises StartFailed."""
    words = ("--project", "default", "--user", "admin", "--key-name", name)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "control_plane.bootstrap", *words),
        env={**PLAIN_ENV, **env},
        cwd="/",
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
    return _made(output)


async def key_works(url: str, key: str) -> bool:
    """False for a key of another database: this one was made anew."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.get(
            f"{url}/api/v1/sessions",
            params={"limit": 1},
            headers={"Authorization": f"Bearer {key}"},
        )
    return answer.status_code != 401


def _made(output: bytes) -> Made:
    try:
        return msgspec.json.decode(output.splitlines()[-1], type=Made)
    except (msgspec.MsgspecError, IndexError) as error:
        raise StartFailed("What makes the first key gave no key: is its version ours?") from error
