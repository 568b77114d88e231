"""Agent profiles: what is particular to an agent, as data (`profiles/<name>.toml`)."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from executor.identity import Identity, spawned_as
from executor.threads import AgentThreads

PROFILES = Path(__file__).parent / "profiles"
IMPORT_PATH = os.pathsep.join(
    dict.fromkeys([str(Path(__file__).parents[2]), str(Path(msgspec.__file__).parents[1])])
)
VERSION_DEADLINE = 10.0


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that has to be on the PATH, and how to get it."""

    program: str
    how: str
    min_version: int | None = None
    """The major version that `program --version` has to say at least."""


class ModelSelection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    free_names: bool = False
    """The environment carries the model's name, so it need not be in the agent's own list."""


class StateCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the agent's own session is there and whole, before it is asked to resume it."""

    pattern: str
    """Glob below HOME, with `{session_id}`."""
    format: Literal["jsonl"] = "jsonl"
    torn_tail: Literal["tolerated", "broken"] = "broken"
    """A last line that was cut off."""


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    todos_in_tool_input: bool = False
    """No plan updates; a tool call's input carries the list."""
    resume_by_load: bool = False
    """`session/resume` is offered but must not be used."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In `command` and `env`, `{name}` stands for an option of `AgentOptions`, `{python}` for this
    interpreter, `{import_path}` for where our packages and what they need are. A variable whose
    option is not set is left out.
    """

    name: str
    title: str
    command: list[str]
    requires: list[Requirement] = msgspec.field(default_factory=list[Requirement])
    env: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    model: ModelSelection = ModelSelection()
    modes: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Our names (`ask` is the strictest, `free` never asks) to the agent's mode ids."""
    default_mode: str = "ask"
    state_dirs: list[str] = msgspec.field(default_factory=list[str])
    """Relative to HOME; they live in the saved tree."""
    state_check: StateCheck | None = None
    quirks: Quirks = Quirks()


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the executor knows about one agent of one session. Nothing in it is worth stealing."""

    home: Path
    workspace: Path
    path: str
    """PATH, for the agent and for finding it."""
    log_dir: Path
    model: str | None = None
    mode: str | None = None
    model_base_url: str | None = None
    """Of the loopback listener, without a path."""
    model_token: str = "berth"  # noqa: S105 - a stand-in; the key is added outside the container
    mcp_servers: list[dict[str, Any]] = msgspec.field(default_factory=list[dict[str, Any]])
    keep_wire_log: bool = False
    threads: AgentThreads
    """With the identity of whoever the agent's processes and files belong to."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    how: str


class UnknownAgent(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"there is no agent {name!r}; known are: {', '.join(known_agents())}")


class BadProfile(Exception):
    """A profile's file is wrong; the message names it and its field."""


def known_agents() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """Raises `UnknownAgent` or `BadProfile`."""
    if name not in known_agents():
        raise UnknownAgent(name)
    return parse_profile((PROFILES / f"{name}.toml").read_text(), name=name)


def parse_profile(text: str, *, name: str) -> Profile:
    """Raises `BadProfile`."""
    import tomllib  # noqa: PLC0415  # no start waits for it (docs/adr/0011-a-light-first-process.md)

    try:
        profile = msgspec.convert(tomllib.loads(text), Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadProfile(f"profile {name}: {error}") from error
    if profile.name != name:
        raise BadProfile(f"profile {name}: its name is {profile.name!r}")
    return profile


def available_agents(path: str) -> dict[str, Missing | None]:
    """Every known agent, with what it lacks on this PATH to run here."""
    return {name: missing_for(load_profile(name), path) for name in known_agents()}


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
    program = _found(wanted.program, path)
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


def command_of(profile: Profile, options: AgentOptions) -> list[str]:
    """With the program's full path, so that the agent's working directory decides nothing."""
    command = [part.format_map(_values(options)) for part in profile.command]
    return [_found(command[0], options.path) or command[0], *command[1:]]


def environment_of(profile: Profile, options: AgentOptions) -> dict[str, str]:
    """The whole environment of the agent: nothing of the executor's own."""
    values = _values(options)
    env = {
        "HOME": str(options.home),
        "PATH": options.path,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "SHELL": "/bin/sh",
        "USER": "agent",
        "TMPDIR": "/tmp",  # noqa: S108  # the agent's own, as HOME is
    }
    for name, template in profile.env.items():
        needed = re.findall(r"\{(\w+)\}", template)
        if all(values.get(option) for option in needed):
            env[name] = template.format_map(values)
    return env


def _values(options: AgentOptions) -> dict[str, str]:
    return {
        "python": sys.executable,
        "import_path": IMPORT_PATH,
        "home": str(options.home),
        "workspace": str(options.workspace),
        "model": options.model or "",
        "model_base_url": options.model_base_url or "",
        "model_token": options.model_token,
    }


def _found(program: str, path: str) -> str | None:
    import shutil  # noqa: PLC0415  # as tomllib above

    return shutil.which(program, path=path)
