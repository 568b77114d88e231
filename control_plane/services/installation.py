"""What administrators do to the installation: orders to managers, who administers; all audited."""

from typing import Any
from uuid import UUID

import msgspec

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.installation import AdministratorPage, AdminManager, AdminManagerPage, PatchManager
from contracts.projects import AuditPage
from control_plane.domain.cursors import Window
from control_plane.store import audit, audit_views, projects
from control_plane.store import installation as store
from control_plane.store.database import Connection, Database, Unit
from control_plane.store.installation import Ordered


class Installation:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def managers(self, window: Window) -> AdminManagerPage:
        async with self._database.reading() as connection:
            return await store.listed(connection, window)

    async def manager(self, manager_id: UUID) -> AdminManager:
        async with self._database.reading() as connection:
            return await _existing(connection, manager_id)

    async def patch(
        self, manager_id: UUID, patch: PatchManager, *, version: int, by: UUID
    ) -> AdminManager:
        """The manager hears of it with its next heartbeat; claims follow it at once.

        Raises Stale `version_conflict`, or `validation_failed` for more than it can hold.
        """
        async with self._database.unit() as unit:
            now = await store.lock_manager(unit, manager_id)
            if now is None:
                raise _unknown(manager_id)
            await failpoint("manager.locked")
            if version != now.version:
                raise Stale(
                    Code.VERSION_CONFLICT,
                    f"expected_version: it is {now.version} now; look at it again",
                    version=now.version,
                )
            new = _patched(now, patch)
            if new != now:
                await store.order(unit, manager_id, new)
                await _audit(unit, "manager.patch", manager_id, _said(patch), by=by)
            unit.wakes.queue = True  # where there is more room now, what waits is claimed at once
            return await _existing(unit.connection, manager_id)

    async def administrators(self, window: Window) -> AdministratorPage:
        async with self._database.reading() as connection:
            return await store.administrators(connection, window)

    async def make_administrator(self, user_id: UUID, *, by: UUID) -> None:
        async with self._database.unit() as unit:
            if not await projects.has_user(unit, user_id):
                raise NotFound(Code.USER_NOT_FOUND, f"there is no user {user_id}")
            if await store.make_administrator(unit, user_id):
                await _audit(unit, "administrator.make", user_id, {}, by=by)

    async def unmake_administrator(self, user_id: UUID, *, by: UUID) -> None:
        """Raises `conflict` for the last one."""
        async with self._database.unit() as unit:
            there = await store.lock_administrators(unit)
            await failpoint("administrators.locked")
            if user_id not in there:
                raise NotFound(Code.USER_NOT_FOUND, f"{user_id} is no administrator")
            if there == [user_id]:
                raise BerthError(
                    Code.CONFLICT, "the last administrator stays; make another one first"
                )
            await store.unmake_administrator(unit, user_id)
            await _audit(unit, "administrator.unmake", user_id, {}, by=by)

    async def audit(self, window: Window) -> AuditPage:
        """What was done to the installation, and belongs to no project."""
        async with self._database.reading() as connection:
            return await audit_views.of_installation(connection, window)


async def _existing(connection: Connection, manager_id: UUID) -> AdminManager:
    found = await store.get(connection, manager_id)
    if found is None:
        raise _unknown(manager_id)
    return found


def _unknown(manager_id: UUID) -> NotFound:
    return NotFound(Code.MANAGER_NOT_FOUND, f"there is no manager {manager_id}")


def _patched(now: Ordered, patch: PatchManager) -> Ordered:
    wanted = now.wanted_workers if patch.max_workers is msgspec.UNSET else patch.max_workers
    if wanted is not None and patch.max_workers is not msgspec.UNSET and wanted > now.max_workers:
        expected = f"0 to {now.max_workers}, its own BERTH_MAX_WORKERS, or null"
        raise BerthError(
            Code.VALIDATION,
            f"max_workers: expected {expected}",
            field="max_workers",
            expected=expected,
        )
    return Ordered(
        max_workers=now.max_workers,
        wanted_workers=wanted,
        wanted_warm=now.wanted_warm if patch.warm is msgspec.UNSET else patch.warm,
        wanted_draining=now.wanted_draining if patch.draining is msgspec.UNSET else patch.draining,
        version=now.version,
    )


def _said(patch: PatchManager) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(patch)
    said.pop("expected_version", None)
    return said


async def _audit(
    unit: Unit, action: str, target: UUID, detail: dict[str, Any], *, by: UUID
) -> None:
    await audit.record(unit, None, actor=by, action=action, target=str(target), detail=detail)
