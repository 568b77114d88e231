"""The first project, the first user, a key: what a fresh installation needs to be used."""

from uuid import UUID

import msgspec

from chassis.auth import hash_token, new_token
from contracts.wire import Wire
from control_plane.domain.access import Role
from control_plane.services.keys import KEY_PREFIX
from control_plane.store import audit, installation, keys, projects
from control_plane.store.database import Database, Unit


class Bootstrapped(Wire, frozen=True, kw_only=True):
    project_id: UUID
    user_id: UUID
    key_id: UUID
    key: str
    """Shown this once."""


class Bootstrap:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, *, project: str, user: str, key_name: str = "bootstrap") -> Bootstrapped:
        """Finds or makes the project and the user by their names; the key is always a new one."""
        key = new_token(KEY_PREFIX)
        async with self._database.unit() as unit:
            await projects.lock_bootstrap(unit)
            user_id = await projects.user_by_name(unit, user)
            if user_id is None:
                user_id = await projects.insert_user(unit, user)
            project_id = await self._project(unit, project, user_id)
            await self._administrator(unit, user_id)
            key_id = await keys.insert(
                unit,
                user_id=user_id,
                project_id=None,
                name=key_name,
                key_hash=hash_token(key),
                rate_limit=None,
            )
            await audit.record(
                unit,
                project_id,
                actor=None,
                action="key.create",
                target=str(key_id),
                detail={"name": key_name, "user_id": str(user_id), "by": "bootstrap"},
            )
        return Bootstrapped(project_id=project_id, user_id=user_id, key_id=key_id, key=key)

    async def _administrator(self, unit: Unit, user_id: UUID) -> None:
        """Whoever may run this may do anything to the installation."""
        if await installation.make_administrator(unit, user_id):
            await audit.record(
                unit,
                None,
                actor=None,
                action="administrator.make",
                target=str(user_id),
                detail={"by": "bootstrap"},
            )

    async def _project(self, unit: Unit, name: str, user_id: UUID) -> UUID:
        """The user is its owner afterwards: whoever may run this may do anything."""
        project_id = await projects.by_name(unit, name)
        if project_id is None:
            return await projects.insert(unit, name, owner=user_id)
        await projects.put_member(unit, project_id=project_id, user_id=user_id, role=Role.OWNER)
        return project_id


def as_json(made: Bootstrapped) -> str:
    return msgspec.json.encode(made).decode()
