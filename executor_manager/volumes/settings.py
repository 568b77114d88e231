"""The helper's settings."""

from pathlib import Path

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    volumes_dir: Path
    """0700: its socket `v.sock`, and images to copy from."""
    state_dir: Path
    """The manager's: images are made in the directories of its workers, and nowhere else."""
    volumes_hold_seconds: float = 120.0
    """For how long at most a device is held for a container that does not take it."""
    log_level: str = "info"
