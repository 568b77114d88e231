"""Limits: `/api/v1/projects/{id}/limits` for members, `/api/v1/admin/…/limits` to set them."""

from uuid import UUID

from litestar import get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.quotas import (
    DefaultLimits,
    PatchDefaultLimits,
    PatchQuota,
    ProjectLimits,
    SubjectLimits,
)
from control_plane.domain.access import Principal
from control_plane.routes.policies import ADMINISTRATOR, READ_PROJECT
from control_plane.services.quotas import Quotas


@get("/api/v1/projects/{project_id:uuid}/limits", opt=READ_PROJECT, tags=["projects"])
async def get_project_limits(
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    quotas: NamedDependency[Quotas],
) -> ProjectLimits:
    """What the project and the caller may use, and what is used of it now."""
    return await quotas.of_project(project_id, user_id=principal.user_id)


@get("/api/v1/admin/limits", opt=ADMINISTRATOR, tags=["admin"])
async def get_default_limits(quotas: NamedDependency[Quotas]) -> DefaultLimits:
    """Of every project and user that has none of its own."""
    return await quotas.defaults()


@patch("/api/v1/admin/limits", opt=ADMINISTRATOR, tags=["admin"])
async def patch_default_limits(
    data: JSONBody[PatchDefaultLimits],
    principal: NamedDependency[Principal],
    quotas: NamedDependency[Quotas],
) -> DefaultLimits:
    """Audited."""
    return await quotas.patch_defaults(data, by=principal.user_id)


@get("/api/v1/admin/projects/{project_id:uuid}/limits", opt=ADMINISTRATOR, tags=["admin"])
async def get_limits_of_project(
    project_id: FromPath[UUID], quotas: NamedDependency[Quotas]
) -> SubjectLimits:
    return await quotas.of_subject("project", project_id)


@patch("/api/v1/admin/projects/{project_id:uuid}/limits", opt=ADMINISTRATOR, tags=["admin"])
async def patch_limits_of_project(
    project_id: FromPath[UUID],
    data: JSONBody[PatchQuota],
    principal: NamedDependency[Principal],
    quotas: NamedDependency[Quotas],
) -> SubjectLimits:
    """Audited. For what is accepted or started after it: what is there stays."""
    return await quotas.patch("project", project_id, data, by=principal.user_id)


@get("/api/v1/admin/users/{user_id:uuid}/limits", opt=ADMINISTRATOR, tags=["admin"])
async def get_limits_of_user(
    user_id: FromPath[UUID], quotas: NamedDependency[Quotas]
) -> SubjectLimits:
    return await quotas.of_subject("user", user_id)


@patch("/api/v1/admin/users/{user_id:uuid}/limits", opt=ADMINISTRATOR, tags=["admin"])
async def patch_limits_of_user(
    user_id: FromPath[UUID],
    data: JSONBody[PatchQuota],
    principal: NamedDependency[Principal],
    quotas: NamedDependency[Quotas],
) -> SubjectLimits:
    """In all projects together. Audited, as a project's."""
    return await quotas.patch("user", user_id, data, by=principal.user_id)


QUOTA_ROUTES = [
    get_project_limits,
    get_default_limits,
    patch_default_limits,
    get_limits_of_project,
    patch_limits_of_project,
    get_limits_of_user,
    patch_limits_of_user,
]
