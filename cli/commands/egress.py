"""`berth egress`: what a project's sessions may reach, and those of an app."""

from typing import Annotated
from uuid import UUID

import msgspec
from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from cli.projects import AskedProject, project_of
from contracts import projects as api
from contracts.egress import AskedEgress, EgressHost, EgressPolicy, EgressProfile, GitRepository

egress = App(name="egress", help="What sessions may reach beyond Berth itself: show, set, unset.")

HTTPS = 443

OfApp = Annotated[UUID | None, Parameter(name="--app", help="Of this app, not of the project.")]
Json = Annotated[bool, Parameter(name="--json", negative=())]


@egress.command
async def show(
    *,
    project: AskedProject = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Show the project's policy, and those of its apps that have one of their own."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        project_id = await project_of(client, project)
        policy = await client.get(_path(project_id), EgressPolicy)
        apps = items(client, "/api/v1/apps", api.AppList, project_id=project_id)
        own = [app async for app in apps if app.egress is not None]
    if json:
        output.json({"project": policy, "apps": {str(app.id): app.egress for app in own}})
        return Exit.OK
    _print(output, "the project", policy)
    for app in own:
        _print(output, f"the app {app.name} ({app.id})", app.egress or EgressPolicy())
    return Exit.OK


@egress.command(name="set")
async def set_(
    profile: Annotated[
        EgressProfile,
        Parameter(
            help="none: nothing. packages: the package indexes, to read. custom: what is listed."
        ),
    ],
    /,
    *,
    packages: Annotated[
        bool, Parameter(negative=(), help="With custom: the package indexes too.")
    ] = False,
    host: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="Over TLS; NAME, NAME:PORT or *.NAME for all below it; may be repeated.",
        ),
    ] = None,
    repository: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="To clone and fetch: HOST/PATH, or HOST/PATH/* for all below; may be repeated.",
        ),
    ] = None,
    push: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="As --repository, to push as well: the project needs a credential for the host.",
        ),
    ] = None,
    mib_per_hour: Annotated[
        int | None, Parameter(help="To hosts, both ways, of one session; else the installation's.")
    ] = None,
    app: OfApp = None,
    project: AskedProject = None,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Replace the policy, of the project or of one app. Running containers keep their tools'
    settings; what is taken away is closed to them at once.
    """
    asked = AskedEgress(
        profile=profile,
        packages=packages,
        hosts=[_host(text) for text in host or []],
        repositories=[
            *(_repository(text) for text in repository or []),
            *(_repository(text, push=True) for text in push or []),
        ],
        mib_per_hour=mib_per_hour,
    )
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        if app is not None:
            patched = await _patch(client, app, asked)
            _print(output, f"the app {patched.name}", patched.egress or EgressPolicy())
        else:
            path = _path(await project_of(client, project))
            _print(output, "the project", await client.put(path, EgressPolicy, asked))
    return Exit.OK


@egress.command
async def unset(
    *,
    app: Annotated[UUID, Parameter(name="--app", help="Its sessions get what the project says.")],
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Take an app's own policy away."""
    async with ApiClient(find_place(url, key)) as client:
        patched = await _patch(client, app, None)
    Output().line(f"The app {patched.name} has no policy of its own any more.")
    return Exit.OK


async def _patch(client: ApiClient, app: UUID, asked: AskedEgress | None) -> api.App:
    return await client.patch(f"/api/v1/apps/{app}", api.App, api.PatchApp(egress=asked))


def _path(project_id: UUID) -> str:
    return f"/api/v1/projects/{project_id}/egress"


def _host(text: str) -> EgressHost:
    name, colon, port = text.partition(":")
    try:
        number = int(port) if colon else HTTPS
        return msgspec.convert({"host": name, "port": number}, EgressHost)
    except (ValueError, msgspec.ValidationError) as error:
        expected = "a name in lower case such as api.example.org, *.example.org, or NAME:PORT"
        raise CliError(f"--host {text}: expected {expected}.", Exit.USAGE) from error


def _repository(text: str, *, push: bool = False) -> GitRepository:
    host, _, path = text.removeprefix("https://").partition("/")
    try:
        return msgspec.convert(
            {"host": host, "path": path.removesuffix(".git"), "push": push}, GitRepository
        )
    except msgspec.ValidationError as error:
        option = "--push" if push else "--repository"
        expected = "HOST/PATH as in its URL, such as git.example.org/berth/docs"
        raise CliError(f"{option} {text}: expected {expected}.", Exit.USAGE) from error


def _print(output: Output, whose: str, policy: EgressPolicy) -> None:
    output.line(f"{whose}: {policy.profile}")
    if policy.reads_packages:
        output.line("  package indexes, to read")
    for one in policy.hosts:
        output.line(f"  {one.host}:{one.port}")
    for repository in policy.repositories:
        right = "clone, fetch, push" if repository.push else "clone, fetch"
        output.line(f"  {repository.host}/{repository.path}: {right}")
    if policy.mib_per_hour is not None:
        output.line(f"  {policy.mib_per_hour} MiB an hour, to hosts")
