"""The scripted model server as a child: a real agent reaches it as it would any provider."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from cli.client import ApiClient
from cli.demo.scenario import MODEL
from cli.demo.turn import DemoFailed
from cli.embedded.processes import PLAIN_ENV
from cli.projects import project_of
from cli.stack.services import own_env
from contracts.models import ModelUpstream, PutModelUpstream

_WITHIN = 20.0
_KEY = "none-is-asked-for"


@contextlib.asynccontextmanager
async def running_model(log: Path) -> AsyncGenerator[str]:
    """Gives its URL; what it was asked is written to `log`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scripted.model_server", "--log", str(log)),
        env={**PLAIN_ENV, **own_env()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield await _url(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def offer(client: ApiClient, url: str) -> None:
    """To the sessions of the one project, which reach it through the control plane alone."""
    path = f"/api/v1/projects/{await project_of(client, None)}/model-upstreams/scripted"
    body = PutModelUpstream(url=url, formats=["messages"], models=[MODEL], key=_KEY)
    await client.put(path, ModelUpstream, body)


async def _url(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise DemoFailed("the model server has no output")
    try:
        async with asyncio.timeout(_WITHIN):
            found: Any = json.loads(await process.stdout.readline())
    except (TimeoutError, ValueError) as error:
        raise DemoFailed("the model server did not start") from error
    return str(found["url"])
