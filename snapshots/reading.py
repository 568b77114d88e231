"""A stored manifest, whichever format it has."""

from snapshots.format_one import converted
from snapshots.manifest import MAGIC, Limits, Manifest


def manifest_of(stored: bytes, limits: Limits) -> Manifest:
    """Raises `Unusable` and `Corrupt`. Of an older format its `stored` is not what was given."""
    if not stored.endswith(MAGIC):
        stored = converted(stored, limits)
    return Manifest(stored, limits)
