"""`berth git`: a project's credentials for git hosts."""

import re
from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.projects import AskedProject, project_of
from cli.secret_input import secret_asked, secret_from
from cli.settings import read_settings
from contracts.git import GIT_HOST, GitCredential, GitCredentialList, PutGitCredential

git = App(name="git", help="A project's credentials for git hosts: set, ls, rm.")

OPTION = "--token-file"

Host = Annotated[str, Parameter(help="Such as github.com, in lower case.")]


@git.command(name="set")
async def set_(
    host: Host,
    /,
    *,
    username: Annotated[
        str, Parameter(help="As the host wants it beside a token; most take any.")
    ] = "git",
    token_file: Annotated[
        str | None,
        Parameter(
            name=OPTION,
            allow_leading_hyphen=True,
            help="Holds the token; - is standard input. Else BERTH_GIT_TOKEN, else you are asked.",
        ),
    ] = None,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make or replace the credential for a host. The token is never an argument."""
    output = Output()
    named = _named(host)
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        body = PutGitCredential(username=username, token=_token(named, token_file))
        made = await client.put(f"{place}/{named}", GitCredential, body)
    words = f"Kept for {made.host}. It is used for repositories that the project's egress names."
    output.answer(made, words, json=json)
    return Exit.OK


@git.command
async def ls(
    *,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List the hosts that there is a credential for. Tokens are never shown."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        found = await client.get(await _place(client, project), GitCredentialList)
    output.listing(found.items, ["host", "username", "set"], _row, json=json)
    return Exit.OK


@git.command
async def rm(
    host: Host, /, *, project: AskedProject = None, url: Url = None, key: Key = None
) -> Exit:
    """Remove a credential. What is under way ends as it would."""
    named = _named(host)
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        await client.delete(f"{place}/{named}", type(None))
    Output().line(f"Removed the credential for {named}.")
    return Exit.OK


def _row(one: GitCredential) -> list[str]:
    return [one.host, one.username, f"{one.updated_at:%Y-%m-%d %H:%M}"]


def _named(host: str) -> str:
    """Before anything is asked, a token first of all. Raises CliError."""
    if re.fullmatch(GIT_HOST, host) is None:
        expected = "a host's name in lower case such as github.com, neither an address nor a port"
        raise CliError(f"HOST {host}: expected {expected}.", Exit.USAGE)
    return host


async def _place(client: ApiClient, project: UUID | None) -> str:
    return f"/api/v1/projects/{await project_of(client, project)}/git-credentials"


def _token(host: str, file: str | None) -> str:
    if file is not None:
        return secret_from(file, OPTION)
    return read_settings().git_token or secret_asked(f"The token for {host}", OPTION)
