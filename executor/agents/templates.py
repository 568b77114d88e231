"""A profile's templates, filled in for one session: the agent's command line and environment."""

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

import msgspec

from executor.agents.environment import tools_environment
from executor.agents.profile import PLACEHOLDER, AgentOptions, Profile

IMPORT_PATH = os.pathsep.join(
    dict.fromkeys([str(Path(__file__).parents[2]), str(Path(msgspec.__file__).parents[1])])
)
_LEFT_OUT = object()
Values = dict[str, str]


def command_of(profile: Profile, options: AgentOptions) -> list[str]:
    """With the program's full path, so that the agent's working directory decides nothing."""
    values = _values(profile, options)
    command = [_fill(part, values) for part in profile.command]
    return [found_program(command[0], options.path) or command[0], *command[1:]]


def environment_of(profile: Profile, options: AgentOptions) -> dict[str, str]:
    """The whole environment of the agent: nothing of the executor's own."""
    values = _values(profile, options)
    env = tools_environment(
        home=options.home, path=options.path, granted=options.granted, origin=options.relay_url
    )
    env |= {
        name: _fill(template, values)
        for name, template in profile.env.items()
        if _can_fill(template, values)
    }
    for name, table in profile.env_json.items():
        env[name] = json.dumps(_fill_all(table, values), ensure_ascii=False)
    return env


def found_program(program: str, path: str) -> str | None:
    import shutil  # noqa: PLC0415  # as tomllib in profile.py

    return shutil.which(program, path=path)


def _values(profile: Profile, options: AgentOptions) -> Values:
    mode = options.mode or profile.default_mode
    of_mode = profile.mode_values.get(mode) or profile.mode_values.get(profile.default_mode, {})
    return {
        **of_mode,
        "python": sys.executable,
        "import_path": IMPORT_PATH,
        "home": str(options.home),
        "workspace": str(options.workspace),
        "model": options.model or "",
        "model_base_url": options.model_base_url or "",
        "model_token": options.model_token,
    }


def _can_fill(template: str, values: Values) -> bool:
    return all(values.get(name) for name in PLACEHOLDER.findall(template))


def _fill(template: str, values: Values) -> str:
    """Each placeholder once: what a value holds is no template."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template)


def _fill_all(value: object, values: Values) -> Any:  # noqa: ANN401 - JSON
    """Members that need what is not set are `_LEFT_OUT`, and then left out."""
    if isinstance(value, str):
        return _fill(value, values) if _can_fill(value, values) else _LEFT_OUT
    if isinstance(value, dict):
        members = {
            _fill(key, values): _fill_all(inner, values)
            for key, inner in cast("dict[str, object]", value).items()
            if _can_fill(key, values)
        }
        return {key: inner for key, inner in members.items() if inner is not _LEFT_OUT}
    if isinstance(value, list):
        filled = [_fill_all(inner, values) for inner in cast("list[object]", value)]
        return [inner for inner in filled if inner is not _LEFT_OUT]
    return value
