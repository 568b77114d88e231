"""`berth agents`: what each manager offers; whether an agent works with a provider's own model."""

import secrets
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.live_check import Subject, live_check
from cli.output import Output
from cli.settings import Providers, read_providers
from contracts.models import ModelUpstream, PutModelUpstream
from contracts.projects import ProjectList
from contracts.tasks import SystemManager, SystemWorkers

agents = App(name="agents", help="Agents: what each manager offers (ls), how they do (check).")

Provider = Literal["anthropic", "openai"]
Spoken = Literal["messages", "responses", "chat"]


BUILT_IN: dict[str, Spoken] = {
    "claude-code": "messages",
    "codex": "responses",
    "opencode": "chat",
}
"""What each speaks with its model."""
PROVIDERS: dict[Spoken, Provider] = {
    "messages": "anthropic",
    "responses": "openai",
    "chat": "openai",
}
VARIABLES: dict[Provider, str] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
}


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    manager: str
    agent: str
    missing: str
    """Empty: it can run there."""


@agents.command
async def ls(
    *,
    json: Annotated[bool, Parameter(negative=(), help="Each one as a JSON line.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List what each manager offers, and what is missing where it does not."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        found = _offers((await client.get("/api/v1/system/worker", SystemWorkers)).managers)
    output.listing(found, ["manager", "agent", ""], _row, json=json)
    return Exit.OK


@agents.command
async def check(
    *names: Annotated[str, Parameter(help="Of agents; none: all that are offered.")],
    live: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Talk with each, with the key in ANTHROPIC_API_KEY or OPENAI_API_KEY (or _FILE):"
            " that costs some thousand tokens. Code 9 when neither is set.",
        ),
    ] = False,
    format: Annotated[  # noqa: A002 - the option's name
        Spoken | None,
        Parameter(help="What agents that are not built in speak with their model."),
    ] = None,
    project: Annotated[UUID | None, Parameter(help="Where; else the only one there is.")] = None,
    anthropic_model: Annotated[str, Parameter(help="To talk with.")] = "claude-haiku-4-5",
    openai_model: Annotated[str, Parameter(help="To talk with.")] = "gpt-5-mini",
    json: Annotated[bool, Parameter(negative=(), help="Each finding as a JSON line.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Look whether agents can run; with --live, whether they work with a real model.

    Code 6 when an agent that is named is offered nowhere, 1 when something does not hold.
    """
    output = Output()
    providers = read_providers()
    formats: dict[str, Spoken] = dict.fromkeys(names, format) if format else {}
    formats |= BUILT_IN
    if live:
        _require_key(providers, [formats[name] for name in names if name in formats])
    async with ApiClient(find_place(url, key)) as client:
        able = await _able(client, names)
        if not live:
            for name in able:
                output.line(f"{name} is offered")
            return Exit.OK
        talks = _talks(able, formats, named=bool(names))
        models: dict[Provider, str] = {"anthropic": anthropic_model, "openai": openai_model}
        place = await _project(client, project)
        return await _check(client, _Live(place, models, providers), talks, output, json=json)


def _require_key(providers: Providers, formats: Collection[Spoken]) -> None:
    """Before anything is asked of anybody."""
    asked: list[Provider] = [PROVIDERS[one] for one in formats] or [*VARIABLES]
    if not any(providers.key_of(one) for one in asked):
        wanted = " or ".join(sorted({VARIABLES[one] for one in asked}))
        raise CliError(
            f"There is no key to talk to a model with.\nSet {wanted} (or the same with _FILE) and"
            " try again.",
            Exit.KEY_MISSING,
        )


@dataclass(frozen=True, slots=True)
class _Live:
    project_id: UUID
    models: dict[Provider, str]
    providers: Providers


async def _check(
    client: ApiClient,
    live: _Live,
    talks: Mapping[str, Spoken],
    output: Output,
    *,
    json: bool,
) -> Exit:
    """`talks`: agents, and what each speaks."""
    _require_key(live.providers, [*talks.values()])
    held = True
    for name, spoken in talks.items():
        if live.providers.key_of(PROVIDERS[spoken]) is None:
            output.note(f"{name} is left out: {VARIABLES[PROVIDERS[spoken]]} is not set.")
            continue
        async with _upstream(client, live, name, spoken) as subject:
            async for one in live_check(client, subject):
                held = held and one.held
                if json:
                    output.json(one)
                else:
                    mark, style = ("PASS", "green") if one.held else ("FAIL", "bold red")
                    output.line(f"{mark} {one.agent}: {one.check}: {one.told}", style)
    return Exit.OK if held else Exit.RUN_FAILED


@asynccontextmanager
async def _upstream(
    client: ApiClient, live: _Live, agent: str, spoken: Spoken
) -> AsyncGenerator[Subject]:
    """Of the project, for as long as it is talked: with the key that the environment has."""
    provider, name = PROVIDERS[spoken], f"live-check-{secrets.token_hex(4)}"
    path = f"/api/v1/projects/{live.project_id}/model-upstreams/{name}"
    model = live.models[provider]
    body = PutModelUpstream(
        url=live.providers.url_of(provider),
        formats=[spoken],
        models=[model],
        key=live.providers.key_of(provider),
        auth="x-api-key" if provider == "anthropic" else "bearer",
    )
    await client.put(path, ModelUpstream, body)
    try:
        yield Subject(agent=agent, model=model, upstream=name, project_id=live.project_id)
    finally:
        await client.delete(path, type(None))


async def _able(client: ApiClient, names: tuple[str, ...]) -> list[str]:
    """Agents that can run somewhere. Raises CliError for one that is named and cannot."""
    found = _offers((await client.get("/api/v1/system/worker", SystemWorkers)).managers)
    offered = {one.agent for one in found if not one.missing}
    for name in names:
        if name not in offered:
            why = next((one.missing for one in found if one.agent == name), "no manager knows it")
            raise CliError(f"{name} cannot run: {why}", Exit.DEPENDENCY_MISSING)
    return [*names] or sorted(offered)


def _talks(able: list[str], formats: Mapping[str, Spoken], *, named: bool) -> dict[str, Spoken]:
    """Those that ask a model, and what each speaks. Raises CliError where that is not known."""
    unknown = [name for name in able if name not in formats]
    if named and unknown:
        raise CliError(
            f"{unknown[0]} is not built in: say what it speaks with its model (--format chat).",
            Exit.USAGE,
        )
    talks: dict[str, Spoken] = {name: formats[name] for name in able if name in formats}
    if not talks:
        raise CliError(
            "No manager offers an agent that asks a model; see `berth agents ls`.",
            Exit.DEPENDENCY_MISSING,
        )
    return talks


async def _project(client: ApiClient, project: UUID | None) -> UUID:
    if project is not None:
        return project
    found = (await client.get("/api/v1/projects", ProjectList)).items
    if len(found) != 1:
        raise CliError("There are several projects: name one with --project.", Exit.USAGE)
    return found[0].id


def _row(one: Offered) -> list[str]:
    return [one.manager, one.agent, one.missing or "offered"]


def _offers(managers: list[SystemManager]) -> list[Offered]:
    return [
        Offered(manager=manager.name, agent=agent, missing=str(missing))
        for manager in managers
        for agent, missing in sorted(manager.agents.items())
    ]
