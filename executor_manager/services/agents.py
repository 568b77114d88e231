"""Which agents can run here: asked of the executor's own package, where it will run."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from chassis.errors import DependencyUnavailable
from chassis.logs import get_logger
from contracts.managers import AgentOffer
from executor_manager.containers.docker_probe import DockerProbe
from executor_manager.containers.errors import BackendError

PROBE_SECONDS = 30.0
MODULE = "executor.agents"
AGENT_PATH = "BERTH_AGENT_PATH"
"""The executor's setting: where agents' programs are looked for."""
AGENT_PROFILES_DIR = "BERTH_AGENT_PROFILES_DIR"
"""And this one: where profiles of further agents are."""

_log = get_logger()


class _Missing(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    how: str


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    missing: _Missing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: bytes
    errors: bytes
    exit_code: int | None


Ask = Callable[[], Awaitable[Answer]]
"""Raises OSError, `BackendError` when nothing could be run."""


async def available_agents(ask: Ask) -> list[AgentOffer]:
    """Raises `DependencyUnavailable` when the executor's package cannot be asked."""
    how = f"see that `python -m {MODULE}` prints what it offers, where executors run"
    try:
        answer = await ask()
    except (OSError, BackendError) as error:
        _log.warning("agents_unknown", error=str(error))
        raise DependencyUnavailable("executor", how) from error
    try:
        found = msgspec.json.decode(answer.text, type=list[_Found])
    except msgspec.MsgspecError as error:
        shown = answer.errors.decode(errors="replace")[-500:]
        _log.warning("agents_unknown", exit_code=answer.exit_code, stderr=shown)
        raise DependencyUnavailable("executor", how) from error
    if answer.errors:
        _log.warning("agents_told", said=answer.errors.decode(errors="replace")[-500:])
    return [AgentOffer(agent=one.agent, missing=_told(one.missing)) for one in found]


async def ask_process(
    python: str, environment: Mapping[str, str], user: int | None, group: int | None
) -> Answer:
    command = [python, "-m", MODULE, *_places(environment)]
    text, errors, code = await _run(command, environment, user, group)
    return Answer(text=text, errors=errors, exit_code=code)


async def ask_container(probe: DockerProbe, environment: Mapping[str, str]) -> Answer:
    """`environment`: what executors are given besides the image's own."""

    def command(image: dict[str, str]) -> list[str]:
        return ["python3", "-m", MODULE, *_places({**image, **environment})]

    printed = await probe.run(command)
    return Answer(text=printed.text, errors=printed.errors, exit_code=printed.exit_code)


def _places(environment: Mapping[str, str]) -> list[str]:
    path = environment.get(AGENT_PATH) or environment.get("PATH", os.defpath)
    further = environment.get(AGENT_PROFILES_DIR)
    return [path, further] if further else [path]


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
