"""What layers meet in a tree, as far as its manifest tells: conflicts, and what is missing. Pure.

Executors decide the same from the tree itself: `executor.services.layers`.
"""

import fnmatch
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from contracts.runtime_manifests import (
    WORKSPACE,
    CleanupRule,
    ConflictPolicy,
    PlannedConflict,
    RuntimeCheck,
    RuntimeManifest,
    RuntimeVersion,
)
from contracts.snapshots import Layer, LayerFile
from control_plane.domain.runtime_manifests import verdict_on
from snapshots.model import Item, Kind


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor remembers in the workspace of layers that it was given. One with another
    version than there can be is none, for executors too.
    """

    runtime_version: RuntimeVersion = ""
    seeds: list[str] = []  # msgspec copies it


class Tree:
    """A snapshot's, as far as somebody wants to know of it: walked once, and not kept."""

    def __init__(self, items: Iterable[Item], wanted: Iterable[str]) -> None:
        self._kinds: dict[bytes, Kind] = {}
        self._filled: set[bytes] = set()
        """Directories with something in them."""
        known = {part for path in wanted for part in _with_above(_relative(path))}
        for item in items:
            if item.path in known:
                self._kinds[item.path] = item.kind
            above = item.path.rpartition(b"/")[0]
            if above in known:
                self._filled.add(above)

    def has(self, path: str) -> bool:
        """No link is followed on the way to it; a link at its end counts."""
        return _relative(path) in self._kinds

    def is_taken(self, path: str) -> bool:
        """Something is there, or in the way: not if it is an empty directory."""
        relative = _relative(path)
        for above in _with_above(relative)[:-1]:
            kind = self._kinds.get(above)
            if kind is not Kind.DIRECTORY:
                return kind is not None
        kind = self._kinds.get(relative)
        return kind is not None and (kind is not Kind.DIRECTORY or relative in self._filled)


def conflicts(
    layers: Sequence[Layer], tree: Tree, record: Record, policy: ConflictPolicy
) -> list[PlannedConflict]:
    given = frozenset(record.seeds)
    found: list[PlannedConflict] = []
    for layer in layers:
        number: Literal["L1", "L2"] = "L1" if layer.kind == "seed" else "L2"
        places = places_of(layer) if layer.kind == "seed" else [layer.path]
        found += [
            PlannedConflict(
                layer=number, path=path, outcome=_OUTCOMES[policy], detail=_DETAILS[policy]
            )
            for path in places
            if path not in given and tree.is_taken(path)
        ]
    return found


def wanted(manifest: RuntimeManifest, layers: Sequence[Layer]) -> list[str]:
    """All paths that there is a question about."""
    places = [path for layer in layers for path in (layer.path, *places_of(layer))]
    return [*places, *manifest.required_paths]


def places_of(layer: Layer) -> list[str]:
    """Of the files of a seed."""
    return [place(layer, file) for file in layer.files if file.sha256 is not None]


def place(layer: Layer, file: LayerFile) -> str:
    return f"{layer.path}/{file.path}" if file.path else layer.path


def missing(
    manifest: RuntimeManifest,
    layers: Sequence[Layer],
    tree: Tree,
    met: Sequence[PlannedConflict],
) -> list[str]:
    """Required paths that neither the snapshot nor a layer brings, or that are cleaned up. What an
    archive brings is not known: what is required in one is looked for by executors only.
    """
    brought = _brought(layers, {one.path for one in met if one.outcome == "kept"})
    replaced = tuple(one.path + "/" for one in met if one.outcome == "replaced")
    archives = [layer.path + "/" for layer in layers if layer.unpack and layer.files]
    return [
        path
        for path in manifest.required_paths
        if path != WORKSPACE
        and (
            any(_cleans(rule, path) for rule in manifest.cleanup_rules)
            or not (
                path in brought
                or path.startswith(tuple(archives))
                or (tree.has(path) and not path.startswith(replaced))
            )
        )
    ]


def check(saved: str, app: str) -> RuntimeCheck:
    return RuntimeCheck(saved=saved, app=app, verdict=verdict_on(saved, app))


def bytes_of(layer: Layer) -> int:
    return sum(file.size for file in layer.files)


_OUTCOMES: dict[ConflictPolicy, Literal["kept", "replaced", "fails"]] = {
    ConflictPolicy.KEEP_SESSION: "kept",
    ConflictPolicy.REPLACE: "replaced",
    ConflictPolicy.FAIL: "fails",
}
_DETAILS = {
    ConflictPolicy.KEEP_SESSION: "the session's own stays, the layer's is left out",
    ConflictPolicy.REPLACE: "the layer's comes in place of the session's own",
    ConflictPolicy.FAIL: "no run starts until the session's own is moved away",
}


def _brought(layers: Sequence[Layer], kept: Collection[str]) -> set[str]:
    """What layers put there, and the directories above it."""
    found: set[str] = set()
    for layer in layers:
        tops = [layer.path] if layer.kind == "mount" or layer.unpack else []
        places = [*tops, *(place(layer, file) for file in layer.files)]
        for path in places:
            if layer.path in kept or path in kept:
                continue
            while path not in found and len(path) > len(WORKSPACE):
                found.add(path)
                path = path.rpartition("/")[0]  # noqa: PLW2901  # upwards
    return found


def _cleans(rule: CleanupRule, path: str) -> bool:
    if not rule.pattern:
        return path == rule.path or path.startswith(rule.path + "/")
    inner = path.removeprefix(rule.path + "/")
    return inner != path and fnmatch.fnmatchcase(inner.split("/")[0], rule.pattern)


def _relative(path: str) -> bytes:
    return path.removeprefix(f"{WORKSPACE}/").encode()


def _with_above(relative: bytes) -> list[bytes]:
    """From the top down, the path itself last."""
    parts = relative.split(b"/")
    return [b"/".join(parts[: end + 1]) for end in range(len(parts))]
