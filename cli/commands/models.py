"""`berth models`: the upstreams through which a project's sessions reach models."""

from typing import Annotated, Literal
from uuid import UUID

from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import Exit
from cli.output import Output
from cli.projects import AskedProject, project_of
from cli.secret_input import secret_from
from cli.settings import read_settings
from contracts.models import ModelUpstream, ModelUpstreamList, PutModelUpstream, WireFormat

models = App(name="models", help="Model upstreams of a project: set, ls, rm.")

Name = Annotated[str, Parameter(help="Of the upstream: letters, digits, dashes.")]


@models.command(name="set")
async def set_(
    name: Name,
    /,
    *,
    upstream: Annotated[
        str,
        Parameter(
            help="The provider's URL without /v1, such as https://api.anthropic.com; its host is"
            " one that BERTH_MODEL_HOSTS of the control plane allows."
        ),
    ],
    format_: Annotated[
        list[WireFormat],
        Parameter(name="--format", negative=(), help="What it speaks; may be repeated."),
    ],
    model: Annotated[
        list[str],
        Parameter(negative=(), help="Offered, and nothing else passes; may be repeated."),
    ],
    auth: Annotated[
        Literal["bearer", "x-api-key"] | None,
        Parameter(help="How the key is sent; by default x-api-key where only messages are spoken."),
    ] = None,
    key_file: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="Holds the provider's key; - is standard input. Else BERTH_MODEL_KEY. Without"
            " either the key that is set stays.",
        ),
    ] = None,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make or replace an upstream. The provider's key is never an argument."""
    output = Output()
    own_header = auth or ("x-api-key" if set(format_) == {"messages"} else "bearer")
    body = PutModelUpstream(
        url=upstream, formats=format_, models=model, key=_provider_key(key_file), auth=own_header
    )
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        made = await client.put(f"{place}/{name}", ModelUpstream, body)
    words = f"{made.name} leads to {made.url}: {', '.join(made.models)}"
    output.answer(made, words, json=json)
    return Exit.OK


@models.command
async def ls(
    *,
    project: AskedProject = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List the upstreams. A run that names no model gets the first one's first."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        found = await client.get(await _place(client, project), ModelUpstreamList)
    columns = ["upstream", "url", "formats", "models", "key sent as"]
    output.listing(found.items, columns, _row, json=json)
    return Exit.OK


@models.command
async def rm(
    name: Name, /, *, project: AskedProject = None, url: Url = None, key: Key = None
) -> Exit:
    """Remove an upstream and its key. Calls that are under way end as they would."""
    async with ApiClient(find_place(url, key)) as client:
        place = await _place(client, project)
        await client.delete(f"{place}/{name}", type(None))
    Output().line(f"Removed {name}.")
    return Exit.OK


def _row(one: ModelUpstream) -> list[str]:
    return [one.name, one.url, " ".join(one.formats), " ".join(one.models), one.auth]


async def _place(client: ApiClient, project: UUID | None) -> str:
    return f"/api/v1/projects/{await project_of(client, project)}/model-upstreams"


def _provider_key(file: str | None) -> str | None:
    return read_settings().model_key if file is None else secret_from(file, "--key-file")
