"""`berth workers`: sessions' workers, and the managers that hold them."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from cyclopts import App, Parameter, validators

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.managers import (
    all_managers,
    find_manager,
    id_of,
    order,
    show_managers,
    told,
    until_empty,
)
from cli.output import Output
from cli.workers import page_of, show_worker, show_workers, steps_of
from contracts.installation import PatchManager
from contracts.managers import StopAnswer
from contracts.session_workers import PatchSessionWorker, SessionWorker, SessionWorkerSettings
from contracts.tickets import MOST_LOG_BYTES

workers = App(
    name="workers",
    help="Workers of sessions, and who holds them: ls, show, logs, stop, drain, scale.",
)

PLACE = "/api/v1/session-workers"

Session = Annotated[UUID, Parameter(help="The session's id.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="JSON lines.")]
Back = Literal["cpus", "memory-mib", "disk-mib", "pids", "max-workers", "warm"]


@workers.command
async def ls(
    *,
    managers: Annotated[
        bool,
        Parameter(negative=(), help="The managers that hold them instead; for administrators."),
    ] = False,
    session: Annotated[UUID | None, Parameter(help="Only this session's.")] = None,
    project: Annotated[UUID | None, Parameter(help="Only this project's.")] = None,
    limit: Annotated[
        int, Parameter(help="At most so many; 0: all.", validator=validators.Number(gte=0))
    ] = 20,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """List workers that are not removed, the newest first."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        if managers:
            show_managers([one async for one in all_managers(client)], output, json=json)
            return Exit.OK
        found = await page_of(client, limit, session_id=session, project_id=project)
    show_workers(found, output, json=json)
    return Exit.OK


@workers.command
async def show(
    session: Session, /, *, json: Json = False, url: Url = None, key: Key = None
) -> Exit:
    """Show a session's worker: its state, its limits, the steps of its start and its end."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        worker = await client.get(f"{PLACE}/{session}", SessionWorker)
        settings = await client.get(f"{PLACE}/{session}/settings", SessionWorkerSettings)
        steps = await steps_of(client, worker)
    if json:
        output.json({"worker": worker, "settings": settings, "steps": steps})
    else:
        show_worker(worker, settings, steps, output)
    return Exit.OK


@workers.command
async def logs(
    session: Session,
    /,
    *,
    size: Annotated[
        int, Parameter(name="--bytes", help=f"The last so many, 1 to {MOST_LOG_BYTES}.")
    ] = 65536,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Print what a session's container printed last; nothing of its conversation is in it."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        text = await client.text(f"{PLACE}/{session}/logs", bytes=size)
    for line in text.splitlines():
        output.line(line)
    return Exit.OK


@workers.command
async def stop(
    session: Session, /, *, json: Json = False, url: Url = None, key: Key = None
) -> Exit:
    """Have a session's worker save and stop; code 7 while it has a live run."""
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        answer = await client.post(f"{PLACE}/{session}/stop", StopAnswer)
    words = "It saves and stops." if answer.granted else "It has stopped already."
    output.answer(answer, words, json=json)
    return Exit.OK


@workers.command
async def drain(
    manager: Annotated[str, Parameter(help="Its id, or its name.")],
    /,
    *,
    off: Annotated[bool, Parameter(negative=(), help="Call it off: it takes work again.")] = False,
    wait: Annotated[
        float, Parameter(help="Seconds to wait until no worker is left; code 8 when some are.")
    ] = 0.0,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Empty a manager: workers are saved and released, live runs go on elsewhere.

    It takes nothing new until the drain is called off, also when it is restarted.
    """
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        found = await find_manager(client, manager)
        patch = PatchManager(expected_version=found.version, draining=not off)
        now = await order(client, found, patch)
        if wait and not off:
            now = await until_empty(client, now, wait)
    output.answer(now, told(now), json=json)
    return Exit.STILL_RUNNING if wait and not off and now.workers else Exit.OK


@workers.command
async def scale(
    what: Annotated[str, Parameter(help="A session's id; or a manager's id or name.")],
    /,
    *,
    cpus: Annotated[float | None, Parameter(help="Of a session.")] = None,
    memory_mib: Annotated[int | None, Parameter(help="Of a session.")] = None,
    disk_mib: Annotated[int | None, Parameter(help="Of a session.")] = None,
    pids: Annotated[int | None, Parameter(help="Of a session.")] = None,
    keep_warm: Annotated[
        bool | None, Parameter(help="Of a session: never stopped for being idle.")
    ] = None,
    max_workers: Annotated[
        int | None, Parameter(help="Of a manager, at most its own BERTH_MAX_WORKERS.")
    ] = None,
    warm: Annotated[
        int | None, Parameter(help="Of a manager: containers that are started beforehand.")
    ] = None,
    default: Annotated[
        list[Back] | None,
        Parameter(negative=(), help="Back to what it would be; may be repeated."),
    ] = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Set how much a session's container, or a manager, may use; both without a restart.

    A container that is there keeps its limits: new ones are for the next.
    """
    back: list[str] = [one.replace("-", "_") for one in default or []]
    of_session = _said(
        {"cpus": cpus, "memory_mib": memory_mib, "disk_mib": disk_mib, "pids": pids}, back
    )
    of_manager = _said({"max_workers": max_workers, "warm": warm}, back)
    if keep_warm is not None:
        of_session["keep_warm"] = keep_warm
    if bool(of_session) == bool(of_manager):
        raise CliError(
            "Say what to set: --cpus, --memory-mib, --disk-mib, --pids, --keep-warm of a session,"
            " or --max-workers, --warm of a manager; not of both.",
            Exit.USAGE,
        )
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        if of_manager:
            return await _scale_manager(client, what, of_manager, output, json=json)
        return await _scale_session(client, what, of_session, output, json=json)


async def _scale_session(
    client: ApiClient, named: str, changes: dict[str, object], output: Output, *, json: bool
) -> Exit:
    session = id_of(named)
    if session is None:
        raise CliError(f"{named} is not a session's id.", Exit.USAGE)
    patch = msgspec.structs.replace(PatchSessionWorker(), **changes)
    now = await client.patch(f"{PLACE}/{session}", SessionWorkerSettings, patch)
    when = "now" if now.applies == "now" else "for its next container"
    limits = msgspec.structs.asdict(now.limits)
    said = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
    output.answer(now, f"{said or 'the installation defaults'}; in force {when}", json=json)
    return Exit.OK


async def _scale_manager(
    client: ApiClient, named: str, changes: dict[str, object], output: Output, *, json: bool
) -> Exit:
    found = await find_manager(client, named)
    patch = msgspec.structs.replace(PatchManager(expected_version=found.version), **changes)
    now = await order(client, found, patch)
    output.answer(now, told(now), json=json)
    return Exit.OK


def _said(values: dict[str, float | int | None], back: list[str]) -> dict[str, object]:
    """What was given, and null for what goes back. Raises CliError for one that is both."""
    given: dict[str, object] = {name: one for name, one in values.items() if one is not None}
    for name in (one for one in back if one in values):
        if name in given:
            option = name.replace("_", "-")
            raise CliError(f"--{option} and --default {option}: give one of both.", Exit.USAGE)
        given[name] = None
    return given
