"""Projects, and who belongs to them with which role."""

from uuid import UUID

from chassis.errors import BerthError, NotFound
from contracts.errors import Code
from contracts.projects import CreateUser, Member, MemberList, Project, ProjectList
from control_plane.domain.access import Principal, Role
from control_plane.domain.cursors import Window
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.store import audit
from control_plane.store import projects as store
from control_plane.store.database import Database, Unit


class Projects:
    def __init__(self, database: Database, *, idempotency: Idempotency) -> None:
        self._database = database
        self._idempotency = idempotency

    async def create(self, ask: Ask, name: str, *, principal: Principal) -> Once[Project]:
        """Its maker is its first owner. A key that is bound to a project makes no other."""
        if principal.bound_to is not None:
            raise BerthError(Code.FORBIDDEN, "this key is bound to one project")

        async def work(unit: Unit) -> Project:
            user_id = principal.user_id
            project_id = await store.insert(unit, name, owner=user_id)
            await _audit(
                unit,
                project_id,
                actor=user_id,
                action="project.create",
                target=project_id,
                name=name,
            )
            return await store.get(unit.connection, project_id, user_id=user_id)

        return await self._idempotency.once(ask, work, Project)

    async def listed(self, principal: Principal, window: Window) -> ProjectList:
        projects = list(principal.roles)
        async with self._database.reading() as connection:
            return await store.listed(
                connection, projects, user_id=principal.user_id, window=window
            )

    async def members(self, project_id: UUID, window: Window) -> MemberList:
        async with self._database.reading() as connection:
            return await store.members(connection, project_id, window)

    async def create_user(
        self, ask: Ask, data: CreateUser, *, project_id: UUID, by: UUID
    ) -> Once[Member]:
        async def work(unit: Unit) -> Member:
            user_id = await store.insert_user(unit, data.name)
            await self._put(unit, project_id, user_id, Role(data.role), by=by)
            return Member(user_id=user_id, name=data.name, role=data.role)

        return await self._idempotency.once(ask, work, Member)

    async def put_member(self, project_id: UUID, user_id: UUID, role: Role, *, by: UUID) -> None:
        """Raises `not_found` for an unknown user, `conflict` where no owner would be left."""
        async with self._database.unit() as unit:
            if not await store.has_user(unit, user_id):
                raise NotFound(Code.NOT_FOUND, f"there is no user {user_id}")
            if role is not Role.OWNER:
                await _require_other_owner(unit, project_id, user_id)
            await self._put(unit, project_id, user_id, role, by=by)

    async def remove_member(self, project_id: UUID, user_id: UUID, *, by: UUID) -> None:
        async with self._database.unit() as unit:
            await _require_other_owner(unit, project_id, user_id)
            if not await store.remove_member(unit, project_id=project_id, user_id=user_id):
                raise NotFound(Code.NOT_FOUND, f"{user_id} is no member of this project")
            await _audit(unit, project_id, actor=by, action="member.remove", target=user_id)

    async def _put(
        self, unit: Unit, project_id: UUID, user_id: UUID, role: Role, *, by: UUID
    ) -> None:
        await store.put_member(unit, project_id=project_id, user_id=user_id, role=role)
        await _audit(
            unit, project_id, actor=by, action="member.put", target=user_id, role=role.value
        )


async def _require_other_owner(unit: Unit, project_id: UUID, user_id: UUID) -> None:
    owners = await store.lock_owners(unit, project_id)
    if owners == [user_id]:
        raise BerthError(Code.CONFLICT, "the project's last owner stays; make another one first")


async def _audit(
    unit: Unit, project_id: UUID, *, actor: UUID, action: str, target: UUID, **detail: str
) -> None:
    await audit.record(
        unit, project_id, actor=actor, action=action, target=str(target), detail=detail
    )
