"""What an agent needs of the place where it is to run, and what of it is missing."""

import re
import subprocess
from pathlib import Path

import msgspec

from executor.agents.profile import (
    FURTHER,
    BadProfile,
    Profile,
    Requirement,
    known_agents,
    load_profile,
)
from executor.agents.templates import found_program
from executor.identity import Identity, spawned_as

VERSION_DEADLINE = 10.0


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    how: str


def available_agents(path: str, further: Path = FURTHER) -> dict[str, Missing | None]:
    """Every known agent, with what it lacks on this PATH to run here; a profile that is wrong is
    what its agent lacks.
    """
    return {name: _lacks(name, path, further) for name in known_agents(further)}


def _lacks(name: str, path: str, further: Path) -> Missing | None:
    try:
        profile = load_profile(name, further)
    except BadProfile as error:
        return Missing(what="a profile that is right", how=str(error))
    return missing_for(profile, path)


def missing_for(profile: Profile, path: str, identity: Identity | None = None) -> Missing | None:
    """`identity`: whose process asks a program for its version."""
    lacking = [wanted for wanted in profile.requires if not _has(wanted, path, identity)]
    if not lacking:
        return None
    return Missing(
        what=", ".join(_describe(wanted) for wanted in lacking),
        how="; ".join(wanted.how for wanted in lacking),
    )


def _describe(wanted: Requirement) -> str:
    version = "" if wanted.min_version is None else f" >= {wanted.min_version}"
    return f"{wanted.program}{version}"


def _has(wanted: Requirement, path: str, identity: Identity | None) -> bool:
    program = found_program(wanted.program, path)
    if program is None:
        return False
    return wanted.min_version is None or _major(program, path, identity) >= wanted.min_version


def _major(program: str, path: str, identity: Identity | None) -> int:
    """0 if it does not say."""
    try:
        said = subprocess.run(
            [program, "--version"], env={"PATH": path}, capture_output=True, text=True, check=False,
            timeout=VERSION_DEADLINE, **spawned_as(identity),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r"(\d+)\.\d+", said.stdout)
    return int(match[1]) if match else 0
