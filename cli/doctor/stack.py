"""The local stack, if it runs: whether each service is ready, and what its backend isolates."""

from pathlib import Path
from typing import Any

import httpx
import msgspec

from cli.doctor.engine import preflight
from cli.doctor.findings import Finding
from cli.embedded.ports import LOOPBACK, Ports
from cli.stack.record import RunningStack
from contracts.preflight import PreflightFinding

SERVICES = ("control-plane", "executor-manager", "gateway")

SHARED = (
    "Sessions share this host's kernel, memory, CPU and disk, and without a sandbox its network,"
    " files and processes: run what you do not trust in containers."
)
"""Of the `process` backend; a running manager says it in full."""
HOW_TO_START = "Start it: berth up"


class _Capabilities(msgspec.Struct, frozen=True):
    disk_means: str = ""
    not_isolated: list[str] = msgspec.field(default_factory=list[str])


class _Backend(msgspec.Struct, frozen=True):
    kind: str
    capabilities: _Capabilities
    preflight: list[PreflightFinding] = msgspec.field(default_factory=list[PreflightFinding])


class _Kept(msgspec.Struct, frozen=True):
    capabilities: dict[str, Any]


class Looked(msgspec.Struct, frozen=True):
    findings: list[Finding]
    here: dict[str, bool] | None = None
    """What the backend that runs really does, by capability; None: none answers."""
    engine: bool = False
    """Its engine was looked at."""


async def look_at_stack(home: Path, running: RunningStack | None) -> Looked:
    if running is None:
        return Looked(
            [
                Finding(what="stack", verdict="note", found="not running", how=HOW_TO_START),
                Finding(what="isolation", verdict="note", found=SHARED),
            ]
        )
    ports = Ports(home / "ports.json").remembered()
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        found = [await _service(client, name, ports.get(name, 0)) for name in SERVICES]
        isolation = await _isolation(client, ports.get("executor-manager", 0))
    findings = [Finding(what="stack", verdict="ok", found=running.url), *found]
    return msgspec.structs.replace(isolation, findings=[*findings, *isolation.findings])


async def _service(client: httpx.AsyncClient, name: str, port: int) -> Finding:
    try:
        answer = await client.get(f"http://{LOOPBACK}:{port}/readyz")
    except httpx.TransportError as error:
        how = f"See its log in the state directory: logs/{name}.log"
        return Finding(what=name, verdict="bad", found=f"does not answer: {error}", how=how)
    if answer.is_success:
        return Finding(what=name, verdict="ok", found="ready")
    missing: list[dict[str, Any]] = answer.json().get("details", {}).get("missing", [])
    how = "; ".join(f"{one.get('what')}: {one.get('how')}" for one in missing)
    return Finding(what=name, verdict="bad", found="not ready", how=how)


async def _isolation(client: httpx.AsyncClient, port: int) -> Looked:
    try:
        answer = await client.get(f"http://{LOOPBACK}:{port}/api/v1/backend")
        backend = msgspec.json.decode(answer.content, type=_Backend)
        kept = msgspec.json.decode(answer.content, type=_Kept).capabilities
    except (httpx.TransportError, msgspec.MsgspecError):
        return Looked([Finding(what="isolation", verdict="note", found=SHARED)])
    told = [
        Finding(what=f"backend {backend.kind}", verdict="note", found=statement)
        for statement in backend.capabilities.not_isolated
    ]
    return Looked(
        [*told, *_disk(backend.capabilities.disk_means), *preflight(backend.preflight)],
        here={name: value for name, value in kept.items() if isinstance(value, bool)},
        engine=bool(backend.preflight),
    )


def _disk(means: str) -> list[Finding]:
    if not means:
        return []
    kernels = means != "watch"
    how = "" if kernels else "Run the docker backend, with the helper `volumes`."
    verdict = "ok" if kernels else "note"
    return [Finding(what="disk limits", verdict=verdict, found=f"held by {means}", how=how)]
