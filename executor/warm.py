"""An executor that was started before anybody asked, in a container of its own, for one session.

It loads what every run needs, binds its socket, which says that it is prepared, and waits; its
manager pauses it there. Whose it becomes is a file, written before it goes on: a restart in the
same epoch finds it, and nothing of an executor depends on who asks. See
docs/adr/0017-warm-containers-are-bound-once.md.
"""

import asyncio
from pathlib import Path

import msgspec

from contracts.executors import ASSIGNED_FILE, Assigned
from executor.services.loading import load_attempts
from executor.settings import Settings

LOOK_SECONDS = 0.005
"""Paused it does not look at all; let go on, it looks at once."""


async def prepare(settings: Settings) -> None:
    """Raises `LoadingFailed`. Of one that was assigned already nothing must wait for it."""
    if settings.warm and _assigned(settings.control_dir) is None:
        await load_attempts()


async def until_assigned(settings: Settings, stop: asyncio.Event) -> Settings | None:
    """As they are for whose it became; None: it was ended before."""
    if not settings.warm:
        return settings
    while (found := _assigned(settings.control_dir)) is None:
        if stop.is_set():
            return None
        await asyncio.sleep(LOOK_SECONDS)
    return msgspec.structs.replace(
        settings,
        worker_id=found.worker_id,
        session_id=found.session_id,
        project_id=found.project_id,
        epoch=found.epoch,
        egress=tuple(found.egress),
    )


def _assigned(control_dir: Path) -> Assigned | None:
    try:
        content = (control_dir / ASSIGNED_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Assigned)
