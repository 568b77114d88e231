"""The container engine of this machine and what it promises: told by its manager, or looked at."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from cli.doctor.findings import Finding, Verdict
from contracts.preflight import PreflightFinding, PreflightState
from contracts.promises import HEAD, PROMISES

MODULE = "executor_manager.containers.examine"
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
LOOK_SECONDS = 20.0
HERE = "here"

_VERDICTS: dict[PreflightState, Verdict] = {"ok": "ok", "warn": "note", "fail": "hole"}


async def look_at_engine(host: str, place: Path) -> list[Finding]:
    """By a process of its own: the engine's libraries are the manager's. `place`: where workspaces
    would lie.
    """
    where = next(one for one in (place, *place.parents) if one.exists())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", MODULE, host, str(where)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            text, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        text, errors = await process.communicate()
    try:
        return preflight(msgspec.json.decode(text, type=list[PreflightFinding]))
    except msgspec.MsgspecError:
        said = errors.decode(errors="replace").strip().splitlines()
        found = said[-1] if said else f"no answer within {LOOK_SECONDS:g} s"
        how = "Only the docker backend needs one: install Docker, or name it with --engine."
        return [Finding(what="engine", verdict="note", found=found, how=how)]


def preflight(found: Sequence[PreflightFinding]) -> list[Finding]:
    return [
        Finding(
            what=f"engine {one.check}",
            verdict=_VERDICTS[one.state],
            found=f"{one.found}: {one.wrong}" if one.wrong else one.found,
            how=one.remedy,
        )
        for one in found
    ]


def table(here: Mapping[str, bool] | None) -> list[tuple[str, ...]]:
    """Promises by backend. `here`: what the backend that runs really does; None: none runs."""
    if here is None:
        return [HEAD, *(one[1:] for one in PROMISES)]
    return [(*HEAD, HERE), *((*one[1:], _kept(one.name, here)) for one in PROMISES)]


def _kept(name: str, here: Mapping[str, bool]) -> str:
    """Empty: it follows from the backend alone."""
    return "" if name not in here else "yes" if here[name] else "no"
