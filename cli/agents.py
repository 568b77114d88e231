"""Which agents can run on this machine: asked of the executor, which knows their profiles."""

import subprocess
import sys

import msgspec

from cli.embedded.processes import PLAIN_ENV
from cli.exits import CliError, Exit
from cli.stack.services import own_env

_WITHIN = 30.0


class Missing(msgspec.Struct, frozen=True):
    what: str
    how: str


class Offer(msgspec.Struct, frozen=True):
    agent: str
    missing: Missing | None


def offers(path: str) -> list[Offer]:
    """`path` is where programs are looked for."""
    done = subprocess.run(
        [sys.executable, "-m", "executor.agents", path],
        env={**PLAIN_ENV, **own_env()},
        capture_output=True,
        timeout=_WITHIN,
        check=False,
    )
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CliError(f"The agents' profiles cannot be read: {' '.join(told)}", Exit.INTERNAL)
    return msgspec.json.decode(done.stdout, type=list[Offer])


def require_agent(agent: str, path: str) -> None:
    for offer in offers(path):
        if offer.agent == agent and offer.missing is not None:
            raise CliError(
                f"The agent {agent} cannot run here; missing: {offer.missing.what}.\n"
                f"{offer.missing.how}",
                Exit.DEPENDENCY_MISSING,
            )
