"""This machine: interpreter, embedded programs, state directory, disk, ports, agents."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.agents import Offer, offers
from cli.doctor.findings import Finding
from cli.embedded.access import AGENT_USER, database_user, require_traversable
from cli.embedded.errors import EmbeddedError
from cli.embedded.object_store import program
from cli.embedded.ports import Ports, is_free
from cli.embedded.postgres_binaries import locate
from cli.embedded.state import LEAST_FREE_BYTES, require_room
from cli.exits import CliError


def look_at_machine(home: Path, *, path: str, running: bool) -> list[Finding]:
    """`path` is where agents are looked for."""
    found = [
        Finding(what="python", verdict="ok", found=sys.version.split()[0]),
        _tried("embedded Postgres", lambda: str(_postgres())),
        _tried("embedded object store", program),
        _tried("state directory", lambda: _state(home)),
        _tried("disk", lambda: _disk(home)),
    ]
    if not running:
        found.append(_ports(home))
    return [*found, *_agents(path)]


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, verdict="ok", found=look())
    except EmbeddedError as error:
        problem, _, how = str(error).partition(". ")
        return Finding(what=what, verdict="bad", found=problem, how=how)


def _postgres() -> Path:
    return locate(user=None, copies=Path(tempfile.gettempdir())).folder


def _state(home: Path) -> str:
    place = _existing(home)
    if not os.access(place, os.W_OK | os.X_OK):
        raise EmbeddedError(
            f"{place} cannot be written to. Set BERTH_HOME to a directory that you can write to."
        )
    if os.geteuid() == 0:
        require_traversable(place, AGENT_USER)
        require_traversable(place, database_user())
    return str(home)


def _disk(home: Path) -> str:
    place = _existing(home)
    require_room(place, LEAST_FREE_BYTES)
    return f"room for a start where {place} lies"


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _ports(home: Path) -> Finding:
    remembered = Ports(home / "ports.json").remembered()
    taken = [f"{name} {port}" for name, port in remembered.items() if not is_free(port)]
    if taken:
        return Finding(
            what="ports",
            verdict="note",
            found=f"taken by others: {', '.join(taken)}",
            how="`berth up` picks new ones; end what listens there to keep the former.",
        )
    return Finding(what="ports", verdict="ok", found="free")


def _agents(path: str) -> list[Finding]:
    try:
        return [_agent(offer) for offer in offers(path)]
    except CliError as error:
        return [Finding(what="agents", verdict="bad", found=str(error))]


def _agent(offer: Offer) -> Finding:
    if offer.missing is None:
        return Finding(what=f"agent {offer.agent}", verdict="ok", found="can run here")
    missing = offer.missing
    return Finding(
        what=f"agent {offer.agent}",
        verdict="note",
        found=f"missing: {missing.what}",
        how=missing.how,
    )
