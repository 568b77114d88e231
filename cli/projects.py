"""Which project a command is about."""

from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from cli.client import ApiClient
from cli.exits import CliError, Exit
from contracts.projects import ProjectList

AskedProject = Annotated[
    UUID | None, Parameter(help="The project's id; where you have one only, that one.")
]


async def project_of(client: ApiClient, asked: UUID | None) -> UUID:
    if asked is not None:
        return asked
    found = (await client.get("/api/v1/projects", ProjectList)).items
    if len(found) != 1:
        known = ", ".join(f"{one.id} ({one.name})" for one in found)
        raise CliError(f"Name a project with --project: {known or 'none'}.", Exit.USAGE)
    return found[0].id
