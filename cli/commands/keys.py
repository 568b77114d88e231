"""`berth keys`: API keys, made, listed, revoked."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from cli.settings import read_settings
from cli.stack.first_key import bootstrap
from contracts.projects import CreateKey, KeyList, NewKey
from contracts.projects import Key as ListedKey

keys = App(name="keys", help="API keys: create, ls, revoke.")


@keys.command
async def create(
    name: Annotated[str, Parameter(help="What it is for, so that it can be told from others.")],
    /,
    *,
    project: Annotated[UUID | None, Parameter(help="Good for this project only.")] = None,
    rate_limit: Annotated[int | None, Parameter(help="Requests a minute.")] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Make a key. It is printed this once and cannot be shown again."""
    output = Output()
    if (database := _without_key(url, key)) is None:
        body = CreateKey(name=name, project_id=project, rate_limit=rate_limit)
        async with ApiClient(find_place(url, key)) as client:
            made = await client.post("/api/v1/keys", NewKey, body)
    elif project is not None or rate_limit is not None:
        raise CliError("The first key has no --project and no --rate-limit.", Exit.USAGE)
    else:
        first = await bootstrap({"BERTH_DATABASE_URL_FILE": str(database)}, name=name)
        made = NewKey(id=first.key_id, name=name, key=first.key)
    if json:
        output.json(made)
    else:
        output.note(f"key {made.id}, shown this once:")
        output.raw(made.key)
    return Exit.OK


@keys.command
async def ls(
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List keys: your own, and those of projects that you own."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        found = [one async for one in items(client, "/api/v1/keys", KeyList)]
    output.listing(found, ["key", "name", "created", "", "project"], _row, json=json)
    return Exit.OK


@keys.command
async def revoke(
    id_: Annotated[UUID, Parameter(name="ID")], /, *, url: Url = None, key: Key = None
) -> Exit:
    """Revoke a key. It stops working within ten seconds."""
    async with ApiClient(find_place(url, key)) as client:
        await client.delete(f"/api/v1/keys/{id_}", type(None))
    Output().line(f"Revoked {id_}.")
    return Exit.OK


def _without_key(url: str | None, key: str | None) -> Path | None:
    """The database, where a first key can be made and nobody gave one to ask the API with."""
    settings = read_settings()
    return None if url or key or settings.key else settings.database_url_file


def _row(one: ListedKey) -> list[str]:
    return [
        str(one.id),
        one.name,
        f"{one.created_at:%F %T}",
        "revoked" if one.revoked_at else "",
        str(one.project_id or "every project"),
    ]
