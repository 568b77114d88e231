"""Verifications as administrators ask for them and look at them; the work is in `verifying`."""

from uuid import UUID

from chassis.errors import BerthError, NotFound
from contracts.errors import Code
from contracts.verifications import (
    FindingPage,
    SnapshotOutcome,
    Verification,
    VerificationPage,
    VerifiedSnapshotPage,
    VerifyWorkspaces,
)
from control_plane.domain.cursors import Window
from control_plane.store import audit
from control_plane.store import verifications as store
from control_plane.store.database import Connection, Database


class Verifications:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, wanted: VerifyWorkspaces, *, by: UUID) -> Verification:
        """Of what is committed now. Asked again while it is under way, it is the same one."""
        asked = (wanted.project_id, wanted.session_id, wanted.all or None)
        if sum(one is not None for one in asked) != 1:
            expected = "exactly one of project_id, session_id and all"
            raise BerthError(
                Code.VALIDATION, f"all: expected {expected}", field="all", expected=expected
            )
        async with self._database.unit() as unit:
            made, new = await store.insert(unit, wanted, by=by)
            if new:
                scope = {"project_id": wanted.project_id, "session_id": wanted.session_id}
                await audit.record(
                    unit, None, actor=by, action="workspace.verify", target=str(made), detail=scope
                )
            return await _existing(unit.connection, made)

    async def get(self, verification_id: UUID) -> Verification:
        async with self._database.reading() as connection:
            return await _existing(connection, verification_id)

    async def listed(self, window: Window) -> VerificationPage:
        async with self._database.reading() as connection:
            return await store.listed(connection, window)

    async def snapshots(
        self, verification_id: UUID, outcome: SnapshotOutcome | None, window: Window
    ) -> VerifiedSnapshotPage:
        async with self._database.reading() as connection:
            await _existing(connection, verification_id)
            return await store.snapshots(connection, verification_id, outcome, window)

    async def findings(
        self, verification_id: UUID, snapshot_id: UUID | None, window: Window
    ) -> FindingPage:
        async with self._database.reading() as connection:
            await _existing(connection, verification_id)
            return await store.findings(connection, verification_id, snapshot_id, window)


async def _existing(connection: Connection, verification_id: UUID) -> Verification:
    found = await store.get(connection, verification_id)
    if found is None:
        raise NotFound(Code.NOT_FOUND, f"there is no verification {verification_id}")
    return found
