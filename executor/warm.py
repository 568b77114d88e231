"""An executor that was started before anybody asked, in a container of its own, for one session.

It loads what every run needs, binds its socket, which says that it is prepared, and waits; its
manager pauses it there. Whose it becomes is a file, written before it goes on: a restart in the
same epoch finds it, and nothing of an executor depends on who asks. See
docs/adr/0017-warm-containers-are-bound-once.md.
"""

import asyncio

import msgspec

from contracts.executors import ASSIGNED_FILE, Assigned
from executor.services.loading import load_attempts
from executor.settings import Settings

LOOK_SECONDS = 0.005
"""Paused it does not look at all; let go on, it looks at once."""


class NotAssigned(Exception):
    """What it is told makes it nobody's."""


async def prepare(settings: Settings) -> None:
    """Raises `LoadingFailed`, `NotAssigned`. Of one that was assigned already nothing must wait for
    it.
    """
    if settings.warm and _assigned(settings) is None:
        await load_attempts()


async def until_assigned(settings: Settings, stop: asyncio.Event) -> Settings | None:
    """As they are for whose it became; None: it was ended before. Raises `NotAssigned`."""
    if not settings.warm:
        return settings
    while (found := _assigned(settings)) is None:
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


def _assigned(settings: Settings) -> Assigned | None:
    try:
        content = (settings.control_dir / ASSIGNED_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        told = msgspec.json.decode(content, type=Assigned)
    except msgspec.MsgspecError as error:
        raise NotAssigned(f"{ASSIGNED_FILE}: {error}") from error
    if told.epoch < 1 or told.worker_id == settings.worker_id:
        expected = "another worker than the one it was made for, in epoch 1 or later"
        raise NotAssigned(f"{ASSIGNED_FILE}: expected {expected}")
    return told
