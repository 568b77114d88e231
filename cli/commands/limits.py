"""`berth limits`: how much a project and a user may use."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from cyclopts import App, Parameter

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.projects import AskedProject, project_of
from contracts.quotas import (
    DefaultLimits,
    PatchDefaultLimits,
    PatchQuota,
    ProjectLimits,
    Quota,
    SubjectLimits,
    Used,
)

limits = App(
    name="limits", help="How much a project and a user may use: show; set, for administrators."
)

Json = Annotated[bool, Parameter(name="--json", negative=(), help="JSON lines.")]
Name = Literal["max-workers", "max-queued", "runs-per-hour"]
Everyone = Literal["projects", "users"]


@limits.command
async def show(
    *, project: AskedProject = None, json: Json = False, url: Url = None, key: Key = None
) -> Exit:
    """Show what a project and you may use, and what is used of it."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        place = f"/api/v1/projects/{await project_of(client, project)}/limits"
        found = await client.get(place, ProjectLimits)
    if json:
        output.json(found)
    else:
        _print(output, "the project", found.project.limits, found.project.used)
        _print(output, "you", found.you.limits, found.you.used)
    return Exit.OK


@limits.command(name="set")
async def set_(
    *,
    project: Annotated[UUID | None, Parameter(help="Of this project.")] = None,
    user: Annotated[UUID | None, Parameter(help="Of this user, in all projects together.")] = None,
    default: Annotated[
        Everyone | None, Parameter(help="Of all those that have none of their own.")
    ] = None,
    max_workers: Annotated[int | None, Parameter(help="At the same time; more wait.")] = None,
    max_queued: Annotated[int | None, Parameter(help="Runs that wait; more are refused.")] = None,
    runs_per_hour: Annotated[int | None, Parameter(help="More are refused.")] = None,
    unset: Annotated[
        list[Name] | None, Parameter(negative=(), help="Take it back; may be repeated.")
    ] = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Set limits of a project, of a user, or of all that have none; for administrators."""
    given = {"max_workers": max_workers, "max_queued": max_queued, "runs_per_hour": runs_per_hour}
    changes: dict[str, object] = {name: one for name, one in given.items() if one is not None}
    changes |= {name.replace("-", "_"): None for name in unset or []}
    subjects = [one for one in (project, user, default) if one is not None]
    if len(subjects) != 1 or not changes:
        raise CliError(
            "Say whose: --project, --user or --default; and what: --max-workers, --max-queued,"
            " --runs-per-hour or --unset.",
            Exit.USAGE,
        )
    patch = msgspec.structs.replace(PatchQuota(), **changes)
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        if default is not None:
            return await _set_default(client, default, patch, output, json=json)
        noun = f"projects/{project}" if project else f"users/{user}"
        now = await client.patch(f"/api/v1/admin/{noun}/limits", SubjectLimits, patch)
    if json:
        output.json(now)
    else:
        _print(output, "the project" if project else "the user", now.limits, now.used)
    return Exit.OK


async def _set_default(
    client: ApiClient, whose: Everyone, patch: PatchQuota, output: Output, *, json: bool
) -> Exit:
    body = PatchDefaultLimits(
        project=patch if whose == "projects" else PatchQuota(),
        user=patch if whose == "users" else PatchQuota(),
    )
    now = await client.patch("/api/v1/admin/limits", DefaultLimits, body)
    if json:
        output.json(now)
    else:
        _print(
            output, f"{whose} without their own", now.project if whose == "projects" else now.user
        )
    return Exit.OK


def _print(output: Output, whose: str, quota: Quota, used: Used | None = None) -> None:
    amounts = {
        "workers at the same time": (quota.max_workers, used and used.workers),
        "runs that wait": (quota.max_queued, used and used.queued),
        "runs in an hour": (quota.runs_per_hour, used and used.runs_last_hour),
    }
    output.line(whose)
    for name, (most, now) in amounts.items():
        allowed = "no limit" if most is None else f"at most {most}"
        output.line(f"  {name:<26}{allowed}{'' if now is None else f', {now} now'}")
