"""The tree as the architecture tests see it: our files, parsed once."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

PACKAGES = (
    "contracts",
    "chassis",
    "sql",
    "control_plane",
    "executor_manager",
    "executor",
    "gateway",
    "cli",
    "scripted",
    "snapshots",
)

NOT_OURS = frozenset(
    {".git", ".venv", ".node", ".berth", ".hypothesis", "node_modules", "dist", "build", ".env"}
)


@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository, without what tools leave behind."""
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in NOT_OURS or path.name.endswith(("_cache", "__pycache__", ".egg-info")):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file() and path.suffix != ".pyc":
            yield path


def python(*folders: str) -> list[Path]:
    wanted = tuple(ROOT / folder for folder in folders)
    return [
        path
        for path in files()
        if path.suffix == ".py" and any(path.is_relative_to(folder) for folder in wanted)
    ]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), str(path))
