"""A project's credentials for git hosts, for its owners."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, JSONBody, PathParameter

from contracts.git import GIT_HOST, GitCredential, GitCredentialList, PutGitCredential
from control_plane.domain.access import Principal
from control_plane.routes.policies import MANAGE_PROJECT
from control_plane.routes.ranges import telling
from control_plane.services.git_credentials import GitCredentials

CREDENTIALS = "/api/v1/projects/{project_id:uuid}/git-credentials"

ALLOWED = {
    "host": (
        "a git host's name in lower case, such as git.example.org; neither an address nor a port"
    ),
    "username": "1 to 200 visible ASCII characters, none of them a colon",
    "token": "1 to 4000 visible ASCII characters",
}
_tell = telling(ALLOWED)

Host = Annotated[
    str,
    msgspec.Meta(pattern=GIT_HOST, max_length=253),
    PathParameter(pattern=GIT_HOST, max_length=253),
]


@get(CREDENTIALS, opt=MANAGE_PROJECT, tags=["git"])
async def list_git_credentials(
    project_id: FromPath[UUID], git_credentials: NamedDependency[GitCredentials]
) -> GitCredentialList:
    """By host; tokens are never shown."""
    return await git_credentials.listed(project_id)


@get(
    f"{CREDENTIALS}/{{host:str}}",
    opt=MANAGE_PROJECT,
    tags=["git"],
    exception_handlers={ValidationException: _tell},
)
async def get_git_credential(
    project_id: FromPath[UUID], host: Host, git_credentials: NamedDependency[GitCredentials]
) -> GitCredential:
    """Its token is never shown."""
    return await git_credentials.get(project_id, host)


@put(
    f"{CREDENTIALS}/{{host:str}}",
    opt=MANAGE_PROJECT,
    status_code=200,
    tags=["git"],
    exception_handlers={ValidationException: _tell},
)
async def put_git_credential(
    *,
    project_id: FromPath[UUID],
    host: Host,
    data: JSONBody[PutGitCredential],
    principal: NamedDependency[Principal],
    git_credentials: NamedDependency[GitCredentials],
) -> GitCredential:
    """Makes it or replaces it, for all requests from now on. It is used for repositories that a
    policy of egress names, and for no others.
    """
    return await git_credentials.put(project_id, host, data, by=principal.user_id)


@delete(
    f"{CREDENTIALS}/{{host:str}}",
    opt=MANAGE_PROJECT,
    status_code=204,
    tags=["git"],
    exception_handlers={ValidationException: _tell},
)
async def remove_git_credential(
    *,
    project_id: FromPath[UUID],
    host: Host,
    principal: NamedDependency[Principal],
    git_credentials: NamedDependency[GitCredentials],
) -> None:
    """Requests that are under way end as they would."""
    await git_credentials.remove(project_id, host, by=principal.user_id)


GIT_CREDENTIAL_ROUTES = [
    list_git_credentials,
    get_git_credential,
    put_git_credential,
    remove_git_credential,
]
