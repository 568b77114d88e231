"""Managers as administrators see them: found by id or name, listed, ordered."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from cli.client import ApiClient
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from contracts.installation import AdminManager, AdminManagerPage, PatchManager

PLACE = "/api/v1/admin/managers"
LOOK_SECONDS = 1.0


def all_managers(client: ApiClient) -> AsyncGenerator[AdminManager]:
    return items(client, PLACE, AdminManagerPage)


async def find_manager(client: ApiClient, named: str) -> AdminManager:
    """By its id, else by its name. Raises CliError for none, and for several."""
    if (manager_id := id_of(named)) is not None:
        return await client.get(f"{PLACE}/{manager_id}", AdminManager)
    found = [one async for one in all_managers(client) if one.name == named]
    if not found:
        raise CliError(
            f"There is no manager {named}; `berth workers ls --managers` lists them.",
            Exit.NOT_FOUND,
        )
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise CliError(
            f"Several managers are called {named}: name one by its id: {ids}", Exit.USAGE
        )
    return found[0]


async def order(client: ApiClient, manager: AdminManager, patch: PatchManager) -> AdminManager:
    return await client.patch(f"{PLACE}/{manager.id}", AdminManager, patch)


async def until_empty(client: ApiClient, manager: AdminManager, seconds: float) -> AdminManager:
    """As it is when no worker is left, or the time is over."""
    ends = asyncio.get_running_loop().time() + seconds
    while manager.workers and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(LOOK_SECONDS)
        manager = await client.get(f"{PLACE}/{manager.id}", AdminManager)
    return manager


def show_managers(managers: list[AdminManager], output: Output, *, json: bool) -> None:
    columns = ["manager", "name", "backend", "workers", "warm", "", "agents"]
    output.listing(managers, columns, _row, json=json)


def told(manager: AdminManager) -> str:
    warm = "" if manager.warm is None else f", {manager.warm} warm"
    return (
        f"{manager.name} holds {manager.workers} of {manager.max_workers} workers{warm}"
        f" (its own setting: {manager.own_max_workers}); {_state(manager)}"
    )


def id_of(named: str) -> UUID | None:
    try:
        return UUID(named)
    except ValueError:
        return None


def _row(one: AdminManager) -> list[str]:
    return [
        str(one.id),
        one.name,
        one.backend,
        f"{one.workers} of {one.max_workers}",
        "" if one.warm is None else str(one.warm),
        _state(one),
        " ".join(offer.agent for offer in one.agents if not offer.missing),
    ]


def _state(manager: AdminManager) -> str:
    heard = f"heard {manager.silent_seconds:.0f} s ago"
    return f"draining, {heard}" if manager.draining else heard
