"""Which agents can run here: asked of the executor's own interpreter, with its own environment."""

import asyncio
import os
from collections.abc import Mapping, Sequence

import msgspec

from chassis.errors import DependencyUnavailable
from chassis.logs import get_logger
from contracts.managers import AgentOffer

PROBE_SECONDS = 30.0
AGENT_PATH = "BERTH_AGENT_PATH"
"""The executor's setting: where agents' programs are looked for."""

_log = get_logger()


class _Missing(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    how: str


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    missing: _Missing | None


async def available_agents(
    python: str, environment: Mapping[str, str], user: int | None, group: int | None
) -> list[AgentOffer]:
    """Raises `DependencyUnavailable` when the executor's package cannot be asked."""
    path = environment.get(AGENT_PATH) or environment.get("PATH", os.defpath)
    how = f"see that `{python} -m executor.agents` prints what it offers"
    command = [python, "-m", "executor.agents", path]
    try:
        text, errors, code = await _run(command, environment, user, group)
    except OSError as error:
        _log.warning("agents_unknown", error=str(error))
        raise DependencyUnavailable("executor", how) from error
    try:
        found = msgspec.json.decode(text, type=list[_Found])
    except msgspec.MsgspecError as error:
        shown = errors.decode(errors="replace")[-500:]
        _log.warning("agents_unknown", exit_code=code, stderr=shown)
        raise DependencyUnavailable("executor", how) from error
    return [AgentOffer(agent=one.agent, missing=_told(one.missing)) for one in found]


def _told(missing: _Missing | None) -> str:
    return f"{missing.what}: {missing.how}" if missing else ""


async def _run(
    command: Sequence[str], environment: Mapping[str, str], user: int | None, group: int | None
) -> tuple[bytes, bytes, int | None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        user=user,
        group=group,
        extra_groups=[] if user is not None else None,
    )
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            text, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        text, errors = await process.communicate()
    return text, errors, process.returncode
