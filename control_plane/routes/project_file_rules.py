"""`/api/v1/projects/{id}/files/rules`: who may read and write which of a project's files."""

from uuid import UUID

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.project_files import ProjectFileRules, PutProjectFileRules
from control_plane.domain.access import Principal
from control_plane.routes.policies import MANAGE_PROJECT, READ_PROJECT
from control_plane.routes.project_files import PATH
from control_plane.services.project_files import ProjectFiles


@get(f"{PATH}/rules", opt=READ_PROJECT, tags=["project-files"])
async def get_project_file_rules(
    project_id: FromPath[UUID], project_files: NamedDependency[ProjectFiles]
) -> ProjectFileRules:
    return await project_files.rules(project_id)


@put(f"{PATH}/rules", opt=MANAGE_PROJECT, status_code=200, tags=["project-files"])
async def put_project_file_rules(
    *,
    project_id: FromPath[UUID],
    data: JSONBody[PutProjectFileRules],
    principal: NamedDependency[Principal],
    project_files: NamedDependency[ProjectFiles],
) -> ProjectFileRules:
    """For owners; audited. Replaces all of them."""
    return await project_files.put_rules(project_id, data, by=principal.user_id)


PROJECT_FILE_RULE_ROUTES = [get_project_file_rules, put_project_file_rules]
