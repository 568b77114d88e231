"""Limits of projects and users: seen, set by administrators; idle workers that are in their way."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from chassis.errors import NotFound
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.quotas import (
    DefaultLimits,
    PatchDefaultLimits,
    PatchQuota,
    ProjectLimits,
    Quota,
    QuotaUse,
    Subject,
    SubjectLimits,
)
from control_plane.domain.quotas import Use
from control_plane.services.stops import Stop, Why, ask_to_stop
from control_plane.store import audit, session_saves, session_states
from control_plane.store import quotas as store
from control_plane.store.database import Connection, Database, Unit

IDLE_SECONDS = 2.0
"""As on a full host: who has been idle for less may be about to go on."""
AT_ONCE = 50

UNKNOWN = {"project": Code.PROJECT_NOT_FOUND, "user": Code.USER_NOT_FOUND}


class Quotas:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_project(self, project_id: UUID, *, user_id: UUID) -> ProjectLimits:
        async with self._database.reading() as connection:
            project = await _existing(connection, "project", project_id)
            you = await _existing(connection, "user", user_id)
        return ProjectLimits(
            project_id=project_id,
            project=QuotaUse(limits=project.limits, used=project.used),
            you=QuotaUse(limits=you.limits, used=you.used),
        )

    async def of_subject(self, subject: Subject, subject_id: UUID) -> SubjectLimits:
        async with self._database.reading() as connection:
            return _view(await _existing(connection, subject, subject_id))

    async def patch(
        self, subject: Subject, subject_id: UUID, patch: PatchQuota, *, by: UUID
    ) -> SubjectLimits:
        """In force for whatever is accepted or started after it; what is there stays."""
        async with self._database.unit() as unit:
            await store.lock_one(unit, subject, subject_id)
            now = await _existing(unit.connection, subject, subject_id)
            own = _patched(now.own, patch)
            if own != now.own:
                await store.set_own(unit, subject, subject_id, own)
                detail = {"subject": subject, **_said(patch)}
                await _audit(unit, f"limits.{subject}", str(subject_id), detail, by=by)
            unit.wakes.queue = True  # there may be more room than before
            return _view(await _existing(unit.connection, subject, subject_id))

    async def defaults(self) -> DefaultLimits:
        async with self._database.reading() as connection:
            return await store.defaults(connection)

    async def patch_defaults(self, patch: PatchDefaultLimits, *, by: UUID) -> DefaultLimits:
        async with self._database.unit() as unit:
            now = await store.lock_defaults(unit)
            new = DefaultLimits(
                project=_patched(now.project, patch.project), user=_patched(now.user, patch.user)
            )
            if new != now:
                await store.set_default(unit, "project", new.project)
                await store.set_default(unit, "user", new.user)
                detail = {"project": _said(patch.project), "user": _said(patch.user)}
                await _audit(unit, "limits.default", "default", detail, by=by)
            unit.wakes.queue = True
        return new

    async def make_room(self) -> int:
        """Asks workers to stop that have nothing to do while a run waits for one of them to end.

        Decided once more under each session's lock: a message that came meanwhile keeps it.
        """
        async with self._database.reading() as connection:
            found = await store.in_the_way(connection, IDLE_SECONDS, AT_ONCE)
        await failpoint("make_room.candidates")
        stopping = 0
        for session_id, worker_id in found:
            stopping += await self._stop_idle(session_id, worker_id)
        return stopping

    async def _stop_idle(self, session_id: UUID, worker_id: UUID) -> bool:
        async with self._database.unit() as unit:
            loaded = await session_states.lock_free(unit, [session_id], 1)
            state = loaded.states.get(session_id)
            if state is None or state.worker is None or state.worker.pinned:
                return False
            stop = await ask_to_stop(unit, state, worker_id, Why.IDLE)
            await session_saves.save(unit, loaded)
        return stop is Stop.STOPPING


async def _existing(connection: Connection, subject: Subject, subject_id: UUID) -> Use:
    found = await store.use(connection, subject, subject_id)
    if found is None:
        raise NotFound(UNKNOWN[subject], f"there is no {subject} {subject_id}")
    return found


def _view(use: Use) -> SubjectLimits:
    return SubjectLimits(id=use.id, own=use.own, limits=use.limits, used=use.used)


def _patched(now: Quota, patch: PatchQuota) -> Quota:
    return msgspec.structs.replace(now, **_said(patch))


def _said(patch: PatchQuota) -> dict[str, int | None]:
    values = {name: getattr(patch, name) for name in PatchQuota.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


async def _audit(
    unit: Unit, action: str, target: str, detail: Mapping[str, Any], *, by: UUID
) -> None:
    """Of the installation: it is in no project's audit."""
    await audit.record(unit, None, actor=by, action=action, target=target, detail=detail)
