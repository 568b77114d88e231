"""Which of the host's files a sandboxed session sees, all read-only: programs, and what they need.

The interpreter and its packages, as it tells itself; the directories where agents are looked for,
with what the links in them lead to; of /etc what programs read everywhere. No home, no /var, no
/run, nothing that holds the directory of the manager's state.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

ASK_SECONDS = 20.0
ASK = (
    "import json, sys; print(json.dumps([[sys.prefix, sys.base_prefix, sys.executable], sys.path]))"
)
SYSTEM = tuple(Path(path) for path in ("/usr", "/nix/store"))
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Links to /usr nearly everywhere."""
ETC = (
    "alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "debian_version",
    "fonts", "group", "host.conf", "hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "login.defs", "magic", "mime.types", "nsswitch.conf", "os-release", "passwd",
    "pki", "profile", "profile.d", "protocols", "services", "shells", "ssl", "terminfo", "timezone",
    "berth/agents",
)  # fmt: skip
AGENT_PATH = "BERTH_AGENT_PATH"
AGENT_PROFILES_DIR = "BERTH_AGENT_PROFILES_DIR"
MOST_PROGRAMS = 5000
"""Looked at in one directory of programs."""


class Unfit(Exception):
    """A path that was named does not do."""


def named(setting: str, paths: tuple[Path, ...], *, hidden: Path) -> tuple[Path, ...]:
    """Raises `Unfit`."""
    for path in paths:
        if not path.is_absolute() or not path.exists() or _holds(path, hidden):
            raise Unfit(
                f"{setting} names {path}: it should be absolute, be there, and not hold {hidden}"
            )
    return paths


def programs(
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    hidden: Path,
    further: tuple[Path, ...] = (),
) -> tuple[Path, ...]:
    """Blocks. None of them holds `hidden`, and none lies in another."""
    found = (*SYSTEM, *_interpreter(argv, environment), *_agents(environment), *further)
    return tuple(_outermost(path for path in found if _fit(path, hidden)))


def mounts(files: Iterable[Path]) -> list[str]:
    """As arguments of bubblewrap."""
    made: list[str] = []
    for name in MERGED:
        path = Path("/", name)
        if path.is_symlink():
            made += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            made += ["--ro-bind", str(path), str(path)]
    made += ["--dir", "/etc"]
    for name in ETC:
        made += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path in files:
        # it may go while we run, such as a tool's own directory
        made += [*above(path), "--ro-bind-try", str(path), str(path)]
    return made


def above(path: Path) -> list[str]:
    """Else the directories above a mount are as closed as what is mounted."""
    return ["--dir", str(path.parent)]


def _fit(path: Path, hidden: Path) -> bool:
    return os.access(path, os.R_OK) and not _holds(path, hidden)


def _holds(path: Path, hidden: Path) -> bool:
    return hidden.resolve().is_relative_to(path.resolve())


def _outermost(paths: Iterable[Path]) -> Iterator[Path]:
    kept: set[Path] = set()
    for path in sorted(paths, key=lambda one: len(one.parts)):
        if not kept.intersection((path, *path.parents)):
            kept.add(path)
            yield path


def _interpreter(argv: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[Path]:
    """It is asked as it will run. Of directories on its path only what can be imported: they may be
    somebody's clone, with other things in it.
    """
    try:
        done = subprocess.run(
            [argv[0], "-c", ASK],
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_SECONDS,
            check=True,
        )
        (prefix, base, program), path = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        # no Python: then it is what it is
        yield Path(argv[0])
        return
    yield from (Path(prefix), Path(base))
    yield from _program(Path(program))
    for entry in path:
        directory = Path(entry)
        if entry and directory.is_dir():
            yield from _modules(directory)
    for argument in argv[1:]:
        if argument.startswith("/"):
            yield Path(argument)


def _modules(directory: Path) -> Iterator[Path]:
    if any(directory.glob("*.dist-info")):
        yield directory  # of installed packages, and nothing else
        return
    for path in directory.iterdir():
        if path.suffix in {".py", ".so"} or (path / "__init__.py").exists():
            yield path


def _agents(environment: Mapping[str, str]) -> Iterator[Path]:
    path = environment.get(AGENT_PATH) or environment.get("PATH", os.defpath)
    for entry in path.split(os.pathsep):
        directory = Path(entry)
        if directory.is_absolute() and os.access(directory, os.R_OK) and directory.is_dir():
            yield directory
            yield from _linked(directory)
    if profiles := environment.get(AGENT_PROFILES_DIR):
        yield Path(profiles)


def _linked(directory: Path) -> Iterator[Path]:
    with os.scandir(directory) as entries:
        for program in islice(entries, MOST_PROGRAMS):
            if program.is_symlink():
                yield from _program(Path(program.path))


def _program(link: Path) -> Iterator[Path]:
    """Where a link leads: the whole installation, where it can be told."""
    target = link.resolve()
    if not os.access(target, os.R_OK) or not target.is_file():
        return
    for parent in reversed(target.parents):
        if parent.name == "node_modules":
            yield parent
            return
    for parent in target.parents:
        if (parent / "pyvenv.cfg").exists():
            yield parent
            return
    yield target
