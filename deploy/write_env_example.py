"""Writes `.env.example`: every setting of every service, with its default and what it means.

`make env-example` runs it; a test holds the file to what it writes. The words are the structs' own:
a field is documented at the field.
"""

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec

import cli.settings
import control_plane.settings
import executor.settings
import executor_manager.relay.settings
import executor_manager.settings
import executor_manager.volumes.settings
import gateway.settings

EXAMPLE = Path(__file__).parent.parent / ".env.example"
WIDTH = 98

HEAD = """\
# Every setting of every service. All of them are optional under `berth up`, which chooses addresses
# and makes keys by itself; a line without a default is needed by a service that is started alone.
#
# A service reads its settings once, at its start, from the environment. An empty value counts as
# absent. BERTH_<NAME>_FILE names a file that holds the value: use it for what is secret.
"""

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "control_plane": control_plane.settings.Settings,
    "executor_manager": executor_manager.settings.Settings,
    "executor_manager/relay": executor_manager.relay.settings.Settings,
    "executor_manager/volumes": executor_manager.volumes.settings.Settings,
    "executor": executor.settings.Settings,
    "gateway": gateway.settings.Settings,
    "cli": cli.settings.Settings,
}

ABOUT = {
    "executor_manager/volumes": "The helper by which disk limits are images; it runs as root.",
    "executor_manager/relay": "Given by the executor-manager, which starts it.",
    "executor": "Given by the executor-manager, to each session's executor.",
}

NEEDED = {
    "database_url": "postgresql://berth@127.0.0.1:5432/berth",
    "object_store_url": "http://127.0.0.1:9000",
    "object_store_bucket": "berth",
    "control_plane_url": "http://127.0.0.1:8010",
    "epoch": "1",
}
"""What a needed setting may look like, where a name alone would not do."""


def render() -> str:
    return "\n".join([HEAD, *(_section(name, struct) for name, struct in STRUCTS.items())])


def _section(name: str, struct: type[msgspec.Struct]) -> str:
    words = documentation(struct)
    lines = [f"# === {name} ".ljust(WIDTH, "="), ""]
    if about := ABOUT.get(name):
        lines += [f"# {about}", ""]
    for field in msgspec.structs.fields(struct):
        said = " ".join(["Needed."] * field.required + [words.get(field.name, "")]).strip()
        lines += [f"# {line}" for line in textwrap.wrap(said, WIDTH - 2)]
        lines += [f"# BERTH_{field.name.upper()}={_value(field)}", ""]
    return "\n".join(lines)


def documentation(struct: type[msgspec.Struct]) -> dict[str, str]:
    """By field: the string that stands below it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    return dict(_documented(node.body)) if isinstance(node, ast.ClassDef) else {}


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, " ".join(str(below.value.value).split())


def _value(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return NEEDED.get(field.name, "")
    if field.default is not msgspec.NODEFAULT:
        return _text(field.default)
    return _text(field.default_factory())


def _text(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, list | tuple):
        return ",".join(cast("Sequence[str]", default))
    if isinstance(default, bool | dict):
        return json.dumps(default)
    return str(default)


if __name__ == "__main__":
    EXAMPLE.write_text(render(), encoding="utf-8")
