"""Agent profiles: what is particular to an agent, as data (`profiles/<name>.toml`, and further ones
from a directory of the operator's).
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from executor.agents.spared import Spared
from executor.threads import AgentThreads

PROFILES = Path(__file__).parent / "profiles"
FURTHER = Path("/etc/berth/agents")
"""Where further profiles are looked for, if no setting says otherwise."""
PLACEHOLDER = re.compile(r"\{(\w+)\}")
PLACEHOLDERS = frozenset(
    {"python", "import_path", "home", "workspace", "model", "model_base_url", "model_token"}
)

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that has to be on the PATH, and how to get it."""

    program: str
    how: str
    min_version: int | None = None
    """The major version that `program --version` has to say at least."""


class ModelSelection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["messages", "responses", "chat"] | None = None
    """What it speaks to the model gateway; None: it has no model of ours."""
    name: str = "{model}"
    """What the agent itself calls a model, as `provider/{model}`."""
    free_names: bool = False
    """The environment carries the model's name, so it need not be in the agent's own list."""


class StateCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the agent's own session is there and whole, before it is asked to resume it."""

    pattern: str
    """Glob below HOME, with `{session_id}`."""
    format: Literal["jsonl", "any"] = "jsonl"
    """`any`: that it is there is all that can be seen from outside."""
    torn_tail: Literal["tolerated", "broken"] = "broken"
    """A last line that was cut off."""


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which fields of a writing tool's input are the file's path and its new text."""

    path: str
    text: str


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    todos_in_tool_input: bool = False
    """No plan updates; a tool call's input carries the list."""
    written_file: WrittenFile | None = None
    """A tool that writes a whole file tells no diff; its input carries the text."""
    resume_by_load: bool = False
    """`session/resume` is offered but must not be used."""
    stays_without_input: bool = False
    """It goes on for seconds after the end of its input; it is told by a signal at once."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In `command`, `env` and `env_json`, `{name}` stands for an option of `AgentOptions`, for a
    value of the mode, for this interpreter (`{python}`), or for where our packages and what they
    need are (`{import_path}`). A variable, or a member of a table, that needs an option which is
    not set is left out.
    """

    name: Name
    title: str
    version: str = ""
    """The one that was measured, and that the image has."""
    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    requires: list[Requirement] = msgspec.field(default_factory=list[Requirement])
    env: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    env_json: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict[str, dict[str, Any]])
    """Variables whose value is a JSON object: the same placeholders, in keys and in strings."""
    session_meta: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """`_meta` of session/new and of what resumes a session."""
    model: ModelSelection = ModelSelection()
    modes: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Our names (`ask` is the strictest, `free` never asks) to the agent's mode ids. Empty: it has
    no modes.
    """
    mode_values: dict[str, dict[str, str]] = msgspec.field(
        default_factory=dict[str, dict[str, str]]
    )
    """By our names: further placeholders, for what the agent's own mode does not decide."""
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
    """Of the loopback listener, as far as what comes before `/v1`."""
    model_token: str = "berth"  # noqa: S105 - a stand-in; the key is added outside the container
    tools_url: str | None = None
    """Where the platform's own tools are served, over the protocol of their kind (MCP)."""
    granted: tuple[str, ...] = ()
    """What the session's policy lets its tools reach: see `executor.agents.environment`."""
    relay_url: str | None = None
    """Of the loopback listener, without a path."""
    keep_wire_log: bool = False
    threads: AgentThreads
    """With the identity of whoever the agent's processes and files belong to."""
    spared: Spared = msgspec.field(default_factory=Spared)
    """What else runs as that user, and is not the agent's."""


class UnknownAgent(Exception):
    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is no agent {name!r}; known are: {', '.join(known)}")


class BadProfile(Exception):
    """A profile's file is wrong; the message names it and its field."""


def known_agents(further: Path = FURTHER) -> list[str]:
    """Of all files, right ones or not."""
    return sorted({path.stem for path in [*_files(PROFILES), *_files(further)]})


def load_profile(name: str, further: Path = FURTHER) -> Profile:
    """Raises `UnknownAgent` or `BadProfile`. What is built in comes first."""
    for path in [*_files(PROFILES), *_files(further)]:
        if path.stem == name:
            return _read(path, name)
    raise UnknownAgent(name, known_agents(further))


def complaints(further: Path = FURTHER) -> list[str]:
    """What of the further profiles nobody can reach, and why."""
    if further.exists() and not os.access(further, os.R_OK | os.X_OK):
        return [f"{further}: may not be read"]
    built_in = {path.stem for path in _files(PROFILES)}
    return [
        f"{path}: a built-in agent has this name; give it another"
        for path in _files(further)
        if path.stem in built_in
    ]


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.glob("*.toml"))
    except OSError:
        return []


def _read(path: Path, name: str) -> Profile:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadProfile(f"profile {name}: {path} cannot be read: {error}") from error
    return parse_profile(text, name=name)


def parse_profile(text: str, *, name: str) -> Profile:
    """Raises `BadProfile`."""
    import tomllib  # noqa: PLC0415  # no start waits for it (docs/adr/0011-a-light-first-process.md)

    try:
        profile = msgspec.convert(tomllib.loads(text), Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadProfile(f"profile {name}: {error}") from error
    wrong = _wrong(profile, name)
    if wrong is not None:
        raise BadProfile(f"profile {name}: {wrong}")
    return profile


def _wrong(profile: Profile, name: str) -> str | None:
    if profile.name != name:
        return f"its name is {profile.name!r}; it has to be its file's"
    if profile.modes and profile.default_mode not in profile.modes:
        return f"default_mode {profile.default_mode!r} is none of its modes: {[*profile.modes]}"
    if stray := profile.mode_values.keys() - profile.modes.keys():
        return f"mode_values: {min(stray)!r} is none of its modes: {[*profile.modes]}"
    for folder in profile.state_dirs:
        if not _is_below_home(folder):
            return f"state_dirs: {folder!r} has to be below HOME, without .."
    return _wrong_placeholder(profile)


def _is_below_home(folder: str) -> bool:
    parts = folder.split("/")
    return bool(folder) and not {"", ".", ".."} & {*parts}


def _wrong_placeholder(profile: Profile) -> str | None:
    of_modes = {key for values in profile.mode_values.values() for key in values}
    known = PLACEHOLDERS | of_modes
    for where, template in _templates(profile):
        for name in PLACEHOLDER.findall(template):
            if name not in known:
                return f"{where}: unknown placeholder {{{name}}}; known are: {sorted(known)}"
    return None


def _templates(profile: Profile) -> list[tuple[str, str]]:
    found = [("command", part) for part in profile.command]
    found += [(f"env.{name}", value) for name, value in profile.env.items()]
    for name, table in profile.env_json.items():
        found += [(f"env_json.{name}", text) for text in _strings(table)]
    return found


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return [text for key, inner in members for text in (key, *_strings(inner))]
    if isinstance(value, list):
        return [text for inner in cast("list[object]", value) for text in _strings(inner)]
    return []
