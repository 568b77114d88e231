"""An archive's manifest, and the packs that it names: proven before anything is kept."""

import hashlib
from collections.abc import Iterator

from chassis.errors import BerthError
from contracts.archives import ArchiveHead, pack_name
from contracts.errors import Code
from control_plane.services.manifests import RAW_BYTES, walked
from control_plane.services.tars import wrong
from snapshots.errors import Unusable
from snapshots.manifest import Limits, Manifest
from snapshots.model import Item, Pack, Part
from snapshots.packing import check_pack, parts_in, with_packs

LIMITS = Limits(max_items=2_000_000, max_bytes=100 * 1024 * 1024 * 1024, raw_bytes=RAW_BYTES)
"""As executors have them: what none would restore is not taken."""
MOST_PACKS = 50_000
"""Whose keys a manifest has room for."""
WALK_SECONDS = 300.0


def checked_manifest(stored: bytes, head: ArchiveHead) -> Manifest:
    if hashlib.sha256(stored).hexdigest() != head.manifest_sha256:
        raise wrong("the manifest that its head names", "it is another one")
    try:
        manifest = Manifest(stored, LIMITS)
        named = [pack_name(number) for number in range(len(manifest.packs))]
        if len(named) > MOST_PACKS:
            raise BerthError(Code.TOO_LARGE, f"an archive has at most {MOST_PACKS} packs")
        if head.packs != len(named) or named != [pack.key for pack in manifest.packs]:
            raise wrong("packs named as their members", "the manifest names others")
        for _ in _walked(manifest):
            continue
    except Unusable as error:
        raise _unfit(str(error)) from error
    return manifest


def kept_manifest(manifest: Manifest, kept: list[Pack]) -> bytes:
    """As it is kept: our keys are longer than the names in an archive."""
    try:
        stored = with_packs(manifest, kept)
        Manifest(stored, LIMITS)
    except Unusable as error:
        raise _unfit(str(error)) from error
    return stored


def parts_of_packs(manifest: Manifest, numbers: range) -> dict[int, set[Part]]:
    try:
        return parts_in(_walked(manifest), numbers)
    except Unusable as error:
        raise _unfit(str(error)) from error


def _walked(manifest: Manifest) -> Iterator[Item]:
    return walked(manifest.items(), seconds=WALK_SECONDS, refusal=_unfit)


def _unfit(why: str) -> BerthError:
    return wrong("a manifest that can be restored", why)


def prove(content: bytes, parts: set[Part], name: str) -> None:
    try:
        check_pack(content, parts)
    except Unusable as error:
        raise wrong("packs of what the manifest needs", f"{name}: {error}") from error
