"""API keys: made (and shown once), listed, revoked, asked about by the gateway."""

from uuid import UUID

from chassis.auth import hash_token, new_token
from chassis.errors import BerthError, NotFound
from chassis.ids import new_id
from contracts.errors import Code
from contracts.identity import Introspected
from contracts.projects import CreateKey, KeyList, NewKey
from control_plane.domain.access import Action, Principal
from control_plane.domain.cursors import Window
from control_plane.store import access, audit
from control_plane.store import keys as store
from control_plane.store.database import Database, Unit

KEY_PREFIX = "bk_"


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def introspect(self, key_hash: str) -> Introspected:
        async with self._database.reading() as connection:
            return await store.introspect(connection, key_hash)

    async def create(self, data: CreateKey, *, principal: Principal) -> NewKey:
        """A bound caller's keys are bound to the same project.

        Has no `Idempotency-Key`: its answer holds the key itself, which must not be kept.
        """
        project_id = data.project_id or principal.bound_to
        user_id = data.user_id or principal.user_id
        key = new_token(KEY_PREFIX)
        async with self._database.unit() as unit:
            if user_id != principal.user_id:
                await self._require_member(unit, user_id=user_id, project_id=project_id)
            key_id = await store.insert(
                unit,
                user_id=user_id,
                project_id=project_id,
                name=data.name,
                key_hash=hash_token(key),
                rate_limit=data.rate_limit,
            )
            await self._audit(unit, principal, project_id, action="key.create", key_id=key_id)
        return NewKey(id=key_id, name=data.name, key=key, project_id=project_id)

    async def listed(self, principal: Principal, window: Window) -> KeyList:
        """The caller's own, and those bound to projects that it owns."""
        wanted = store.KeyFilter(
            user_id=principal.user_id,
            owned=principal.projects(Action.MANAGE),
            bound_to=principal.bound_to,
        )
        async with self._database.reading() as connection:
            return await store.listed(connection, wanted, window)

    async def revoke(self, key_id: UUID, *, principal: Principal) -> None:
        """One's own, or as owner of the project that it is bound to; a second time is no error."""
        async with self._database.unit() as unit:
            key = await store.get(unit, key_id)
            owned = principal.projects(Action.MANAGE)
            reachable = principal.bound_to is None or (
                key is not None and key.project_id == principal.bound_to
            )
            if key is None or not reachable:
                raise NotFound(Code.NOT_FOUND, f"there is no key {key_id}")
            if key.user_id != principal.user_id and key.project_id not in owned:
                raise NotFound(Code.NOT_FOUND, f"there is no key {key_id}")
            if await store.revoke(unit, key_id):
                await self._audit(
                    unit, principal, key.project_id, action="key.revoke", key_id=key_id
                )

    async def _require_member(self, unit: Unit, *, user_id: UUID, project_id: UUID | None) -> None:
        if project_id is None:
            raise BerthError(
                Code.VALIDATION,
                "project_id: another user's key must be bound to a project",
                field="project_id",
                expected="a project that the user is a member of",
            )
        standing = await access.standing(unit.connection, user_id=user_id, key_id=new_id())
        if standing is None or project_id not in standing.roles:
            raise BerthError(
                Code.VALIDATION,
                "user_id: not a member of this project",
                field="user_id",
                expected="a member of the project",
            )

    async def _audit(
        self,
        unit: Unit,
        principal: Principal,
        project_id: UUID | None,
        *,
        action: str,
        key_id: UUID,
    ) -> None:
        """An unbound key is good for every project of its user, so that each one is told."""
        for project in [project_id] if project_id is not None else list(principal.roles):
            await audit.record(
                unit,
                project,
                actor=principal.user_id,
                action=action,
                target=str(key_id),
                detail={"bound": project_id is not None},
            )
