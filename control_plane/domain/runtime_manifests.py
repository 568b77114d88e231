"""What apps say of workspaces: which paths are good, and which runtime can read what. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import msgspec

from contracts.runtime_manifests import (
    PROJECT_MOUNT,
    WORKSPACE,
    AskedRuntimeManifest,
    MountPoint,
    PathRule,
    RuntimeManifest,
    SeedFile,
)

PATH_BYTES = 4096
NAME_BYTES = 255
RESERVED = f"{WORKSPACE}/.berth"
"""The agents' own state, and what the executor remembers."""

EXPECTED: dict[PathRule, str] = {
    "absolute": f"an absolute path, such as {WORKSPACE}/docs",
    "under_workspace": f"a path beneath {WORKSPACE}",
    "plain_parts": "parts that are no '.', no '..', not empty, and hold no control character",
    "length": f"at most {PATH_BYTES} bytes, and {NAME_BYTES} in each part",
    "reserved": f"a path outside of {RESERVED}, which is the platform's (but {PROJECT_MOUNT})",
    "unique": "each path once",
    "apart": "mount points and seed files that do not lie in each other",
    "source": "either a source, a path in the project's files, or a text; unpack needs a source",
}


class WrongPath(Exception):
    def __init__(self, field: str, path: str, rule: PathRule) -> None:
        super().__init__(field, path, rule)
        self.field = field
        self.path = path
        self.rule: PathRule = rule


def manifest_of(asked: AskedRuntimeManifest) -> RuntimeManifest:
    """Raises `WrongPath`."""
    for field, path in _paths(asked):
        if rule := broken_rule(path):
            raise WrongPath(field, path, rule)
    _check_reserved(asked)
    _check_sources(asked)
    _check_apart(asked)
    return msgspec.convert(asked, RuntimeManifest, from_attributes=True)


def broken_rule(path: str) -> PathRule | None:
    """Segment by segment; nothing is resolved, so no `..` is ever made harmless."""
    if not path.startswith("/"):
        return "absolute"
    if len(path.encode(errors="surrogatepass")) > PATH_BYTES:
        return "length"
    if rule := broken_parts(path[1:]):
        return rule
    return None if path.startswith(f"{WORKSPACE}/") else "under_workspace"


def broken_parts(relative: str) -> Literal["plain_parts", "length"] | None:
    """Of a path without a slash at its beginning."""
    for part in relative.split("/"):
        if part in {"", ".", ".."} or any(not _is_plain(char) for char in part):
            return "plain_parts"
        if len(part.encode()) > NAME_BYTES:
            return "length"
    return "length" if len(relative.encode()) > PATH_BYTES else None


def mounts_of(manifest: RuntimeManifest) -> list[MountPoint]:
    if manifest.mount_points is None:
        return [MountPoint(path=PROJECT_MOUNT)]
    return manifest.mount_points


def verdict_on(saved: str, app: str) -> Literal["fits", "warning", "refused"]:
    """Whether a runtime `app` may open what the runtime `saved` left."""
    ours, theirs = _numbers(app), _numbers(saved)
    if not saved or not app or theirs <= ours:
        return "fits"
    return "refused" if theirs[0] > ours[0] else "warning"


def _numbers(version: str) -> tuple[int, ...]:
    found = [int(number) for number in version.split(".") if number]
    return tuple([*found, 0, 0, 0][:3])


def _is_plain(char: str) -> bool:
    return char >= " " and char != "\x7f" and not "\ud800" <= char <= "\udfff"


def _paths(asked: AskedRuntimeManifest) -> Iterator[tuple[str, str]]:
    for number, seed in enumerate(asked.seed_files):
        yield f"seed_files[{number}].path", seed.path
    for number, mount in enumerate(asked.mount_points or []):
        yield f"mount_points[{number}].path", mount.path
    for number, rule in enumerate(asked.cleanup_rules):
        yield f"cleanup_rules[{number}].path", rule.path
    for number, path in enumerate(asked.required_paths):
        yield f"required_paths[{number}]", path
    for number, path in enumerate(asked.protected_paths):
        yield f"protected_paths[{number}]", path


def _check_reserved(asked: AskedRuntimeManifest) -> None:
    for field, path in _paths(asked):
        is_ours = path == RESERVED or path.startswith(f"{RESERVED}/")
        is_mount = field.startswith("mount_points") and path == PROJECT_MOUNT
        # what is only looked for does no harm there
        if is_ours and not is_mount and not field.startswith("required_paths"):
            raise WrongPath(field, path, "reserved")


def _check_sources(asked: AskedRuntimeManifest) -> None:
    for number, seed in enumerate(asked.seed_files):
        field = f"seed_files[{number}].source"
        if not _one_source(seed):
            raise WrongPath(field, seed.source or "", "source")
        if seed.source and (rule := broken_parts(seed.source)):
            raise WrongPath(field, seed.source, rule)
    for number, mount in enumerate(asked.mount_points or []):
        if mount.source and (rule := broken_parts(mount.source)):
            raise WrongPath(f"mount_points[{number}].source", mount.source, rule)
    for number, cleanup in enumerate(asked.cleanup_rules):
        if "/" in cleanup.pattern or "\0" in cleanup.pattern:
            raise WrongPath(f"cleanup_rules[{number}].pattern", cleanup.pattern, "plain_parts")


def _one_source(seed: SeedFile) -> bool:
    if seed.unpack and seed.source is None:
        return False
    return (seed.source is None) is not (seed.text is None) and seed.source != ""


def _check_apart(asked: AskedRuntimeManifest) -> None:
    """What a layer owns, no other part of the manifest writes into."""
    mounts = [(f"mount_points[{n}].path", m.path) for n, m in enumerate(asked.mount_points or [])]
    seeds = [(f"seed_files[{n}].path", s.path) for n, s in enumerate(asked.seed_files)]
    # with a slash at their ends, what lies in a path stands right behind it
    ordered = sorted((path + "/", field) for field, path in mounts + seeds)
    for (above, _), (below, field) in pairwise(ordered):
        if above == below:
            raise WrongPath(field, below[:-1], "unique")
    for _, mount in mounts:
        for field, path in mounts + seeds:
            if path.startswith(mount + "/") or (mount.startswith(path + "/")):
                raise WrongPath(field, path, "apart")
