"""What limits of projects and users let in: one more run, one more worker.

Whoever makes more of what is counted locks the rows of its project and its user, behind all locks
of sessions, and counts after that. What makes less of it takes no turn: reports never wait here.
Projects and users without limits are never locked.
"""

import secrets
from collections.abc import Sequence
from uuid import UUID

from chassis.errors import BerthError
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.events import RunWarning
from contracts.quotas import LimitName, Subject
from control_plane.domain.quotas import WAITS_FOR_WORKER, WORDS, Rooms, Use, whose
from control_plane.store import quotas
from control_plane.store.database import Unit

QUEUE_RETRY_SECONDS = 5.0
"""When to ask again where too much is queued, at least; with as much again of jitter."""

SUBJECTS: tuple[Subject, Subject] = ("project", "user")


async def admit_run(
    unit: Unit, *, project_id: UUID, user_id: UUID | None, run_id: UUID
) -> list[RunWarning]:
    """Counts a new run; answers what it is to be told if it finds no worker of its session there.

    Under its session's lock. Raises `limit_reached`: then nothing was counted.
    """
    if not await quotas.bounded(unit.connection, project_id, user_id):
        return []
    await quotas.lock(unit, [project_id], [user_id] if user_id else [])
    await failpoint("admission.locked")
    uses: list[Use] = []
    for subject, subject_id in zip(SUBJECTS, (project_id, user_id), strict=True):
        found = await quotas.use(unit.connection, subject, subject_id) if subject_id else None
        if found is not None:
            uses.append(found)
    for use in uses:
        if (limit := use.refuses) is not None:
            raise _refusal(use, limit)
    for use in uses:
        if use.limits.runs_per_hour is not None:
            await quotas.note_start(unit, use.id, run_id)
    return [_told(use) for use in uses if use.crowded]


async def rooms_for(unit: Unit, wanted: Sequence[tuple[UUID, UUID | None]]) -> Rooms:
    """Of the projects and users for which workers may be made now; under their sessions' locks."""
    projects = sorted({project for project, _ in wanted})
    users = sorted({user for _, user in wanted if user is not None})
    if not projects:
        return Rooms({})
    limited = await quotas.limited(unit.connection, projects, users)
    if not limited:
        return Rooms({})
    held = [one for one in projects if one in limited], [one for one in users if one in limited]
    await quotas.lock(unit, *held)
    await failpoint("rooms.locked")
    return Rooms(await quotas.rooms(unit, *held))


def _refusal(use: Use, limit: LimitName) -> BerthError:
    allowed = getattr(use.limits, limit)
    if limit == "runs_per_hour":
        after = max(1.0, use.full_for or 0.0)
    else:
        after = QUEUE_RETRY_SECONDS * (1 + secrets.randbelow(1000) / 1000)
    return BerthError(
        Code.LIMIT_REACHED,
        f"{whose(use.subject)} limit is {allowed} {WORDS[limit]}; an administrator can raise it",
        retry_after=round(after, 1),
        limit=limit,
        of=use.subject,
        allowed=allowed,
    )


def _told(use: Use) -> RunWarning:
    allowed = use.limits.max_workers
    return RunWarning(
        code=WAITS_FOR_WORKER,
        detail=f"{whose(use.subject)} limit is {allowed} {WORDS['max_workers']}:"
        " it starts when one of them has ended",
    )
