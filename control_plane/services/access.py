"""The one place of authorisation: who is calling, and whether they may.

People come with the gateway's signed identity; their roles are read here on every call. Services
come with their keys, workers with their tokens. Who is no member of a project is told that there is
nothing (404); whose role is too low is told so (403).
"""

import dataclasses
from collections.abc import Mapping
from uuid import UUID

from chassis.auth import ServiceKeys, hash_token, verify_identity
from chassis.errors import BerthError, NotFound
from chassis.rates import RateLimiter
from contracts.errors import Code
from control_plane.domain.access import (
    ALLOWED,
    UNKNOWN,
    Action,
    Noun,
    Principal,
    Role,
    WorkerCaller,
)
from control_plane.store import access as store
from control_plane.store.database import Database

AUDIENCE = "control_plane"


class Access:
    """`service_keys` by service: `gateway`, `manager`. `gateway_public_key` is PEM."""

    def __init__(
        self,
        database: Database,
        *,
        gateway_public_key: str,
        service_keys: Mapping[str, str],
        worker_calls: RateLimiter,
        worker_calls_per_minute: int,
    ) -> None:
        self._worker_calls = worker_calls
        self._worker_calls_per_minute = worker_calls_per_minute
        self._database = database
        self._public_key = gateway_public_key
        self._services = ServiceKeys(service_keys)

    async def principal(self, identity: str | None) -> Principal:
        """From the `X-Berth-Identity` header; raises `unauthenticated`."""
        if not identity:
            raise BerthError(Code.UNAUTHENTICATED, "no identity came with the request")
        claims = verify_identity(self._public_key, identity, AUDIENCE)
        return await self.renewed(
            Principal(
                user_id=claims.user_id,
                key_id=claims.key_id,
                kind=claims.kind,
                name=claims.name,
                bound_to=claims.project_id,
                roles={},
            )
        )

    async def renewed(self, principal: Principal) -> Principal:
        """With the roles of this moment; raises `unauthenticated` when its key was revoked."""
        async with self._database.reading() as connection:
            standing = await store.standing(
                connection, user_id=principal.user_id, key_id=principal.key_id
            )
        if standing is None:
            raise BerthError(Code.UNAUTHENTICATED, "this key was revoked")
        return dataclasses.replace(
            principal,
            roles=_within(principal.bound_to, standing.roles),
            administrator=standing.administrator and principal.bound_to is None,
        )

    def require_administrator(self, principal: Principal) -> None:
        """Raises `forbidden`: that there is an installation is no secret."""
        if not principal.administrator:
            raise BerthError(
                Code.FORBIDDEN,
                "this is for administrators of the installation, with a key bound to no project",
            )

    def require(self, principal: Principal, action: Action, project_id: UUID) -> None:
        """Raises `project_not_found` for who is no member, `forbidden` for too low a role."""
        self._require(principal, action, project_id, Code.PROJECT_NOT_FOUND)

    def may(self, principal: Principal, action: Action, project_id: UUID) -> bool:
        role = principal.roles.get(project_id)
        return role is not None and action in ALLOWED[role]

    async def project_of(
        self, principal: Principal, action: Action, noun: Noun, noun_id: UUID
    ) -> UUID:
        """The project of a thing that the caller may do this to; else the noun's 404, or 403."""
        async with self._database.reading() as connection:
            project_id = await store.project_of(connection, noun, noun_id)
        code = UNKNOWN[noun]
        if project_id is None:
            raise NotFound(code, f"there is no {noun} {noun_id}")
        self._require(principal, action, project_id, code, f"there is no {noun} {noun_id}")
        return project_id

    async def project_of_session(
        self, principal: Principal, action: Action, session_id: UUID
    ) -> UUID:
        return await self.project_of(principal, action, "session", session_id)

    async def project_of_run(self, principal: Principal, action: Action, run_id: UUID) -> UUID:
        return await self.project_of(principal, action, "run", run_id)

    async def project_of_task(self, principal: Principal, action: Action, task_id: UUID) -> UUID:
        return await self.project_of(principal, action, "task", task_id)

    async def project_of_request(
        self, principal: Principal, action: Action, request_id: UUID
    ) -> UUID:
        return await self.project_of(principal, action, "request", request_id)

    def project_for(self, principal: Principal, action: Action, asked: UUID | None) -> UUID:
        """Where something new goes: as asked, else the key's project, else the only membership."""
        if asked is not None:
            self.require(principal, action, asked)
            return asked
        if len(principal.roles) == 1:
            only = next(iter(principal.roles))
            self.require(principal, action, only)
            return only
        raise BerthError(
            Code.VALIDATION,
            f"project_id: say which; you are a member of {len(principal.roles)} projects",
            field="project_id",
            expected="the id of a project that you are a member of",
        )

    def projects_for(
        self, principal: Principal, asked: UUID | None, action: Action = Action.READ
    ) -> list[UUID]:
        """Whose things a list shows: one project's, or those of all where the caller may."""
        if asked is None:
            return principal.projects(action)
        self.require(principal, action, asked)
        return [asked]

    def service(self, authorization: str | None, service: str) -> None:
        """Raises `unauthenticated`, or `forbidden` when it is another service's key."""
        if self._services.verify(authorization) != service:
            raise BerthError(Code.FORBIDDEN, f"this is for {service} only")

    async def worker_of(self, authorization: str | None, worker_id: UUID) -> WorkerCaller:
        """Takes the `Authorization` header or the bare token; raises `unauthenticated`, and
        `rate_limited` before the database is asked.
        """
        scheme, _, token = (authorization or "").partition(" ")
        presented = hash_token(token.strip() if scheme.lower() == "bearer" else scheme)
        self._pace(presented)
        async with self._database.reading() as connection:
            found = await store.worker_by_token(
                connection, worker_id=worker_id, token_hash=presented
            )
        if found is None:
            raise BerthError(Code.UNAUTHENTICATED, "this worker's token is needed")
        return found

    def _pace(self, presented: str) -> None:
        """By what was presented: nobody uses up what is another's by naming it."""
        allowance = self._worker_calls.take(presented, self._worker_calls_per_minute)
        if allowance.retry_after is not None:
            detail = f"a worker may call {allowance.limit} times a minute"
            raise BerthError(Code.RATE_LIMITED, detail, retry_after=allowance.retry_after)

    def _require(
        self, principal: Principal, action: Action, project_id: UUID, code: Code, detail: str = ""
    ) -> None:
        role = principal.roles.get(project_id)
        if role is None:
            raise NotFound(code, detail or f"there is no project {project_id}")
        if action not in ALLOWED[role]:
            raise BerthError(
                Code.FORBIDDEN, f"a {role.value} may not {action.value} here", role=role.value
            )


def _within(bound_to: UUID | None, roles: dict[UUID, Role]) -> dict[UUID, Role]:
    if bound_to is None:
        return roles
    return {project: role for project, role in roles.items() if project == bound_to}
