"""`berth workspace`: whether what is kept of workspaces is what was saved."""

import asyncio
from typing import Annotated
from uuid import UUID

from cyclopts import App, Parameter, validators

from cli.client import ApiClient
from cli.connection import Key, Url, find_place
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from contracts.verifications import (
    Finding,
    FindingPage,
    Verification,
    VerifiedSnapshot,
    VerifiedSnapshotPage,
    VerifyWorkspaces,
)

workspace = App(name="workspace", help="Workspaces as they are kept: verify, for administrators.")

PLACE = "/api/v1/admin/workspace-verifications"
LOOK_SECONDS = 1.0


@workspace.command
async def verify(
    *,
    session: Annotated[UUID | None, Parameter(help="Its snapshots.")] = None,
    project: Annotated[UUID | None, Parameter(help="All snapshots of this project.")] = None,
    all_: Annotated[
        bool, Parameter(name="--all", negative=(), help="All snapshots there are.")
    ] = False,
    repair_none: Annotated[
        bool,
        Parameter(
            negative=(), help="Only report: mark nothing as damaged, take no such mark back."
        ),
    ] = False,
    wait: Annotated[
        float,
        Parameter(help="Seconds; it goes on without us.", validator=validators.Number(gte=0)),
    ] = 3600.0,
    json: Annotated[bool, Parameter(name="--json", negative=(), help="JSON lines.")] = False,
    url: Url = None,
    key: Key = None,
) -> Exit:
    """Read every byte that committed snapshots need, and tell each place that is wrong.

    Code 1 when something is damaged.
    """
    if sum((session is not None, project is not None, all_)) != 1:
        raise CliError("Say of what: --session, --project or --all.", Exit.USAGE)
    wanted = VerifyWorkspaces(
        project_id=project, session_id=session, all=all_, marks=not repair_none
    )
    output = Output()
    async with ApiClient(find_place(url, key)) as client:
        made = await client.post(PLACE, Verification, wanted)
        done = await _until_done(client, made, wait)
        place = f"{PLACE}/{done.id}"
        snapshots = items(client, f"{place}/snapshots", VerifiedSnapshotPage, outcome="damaged")
        damaged = [one async for one in snapshots]
        findings = items(client, f"{place}/findings", FindingPage)
        found = [one async for one in findings] if damaged else []
    if json:
        for one in (*found, *damaged, done):
            output.json(one)
    else:
        _show(output, done, damaged, found)
    if damaged:
        return Exit.RUN_FAILED
    return Exit.OK if done.state == "done" else Exit.STILL_RUNNING


async def _until_done(client: ApiClient, made: Verification, seconds: float) -> Verification:
    ends = asyncio.get_running_loop().time() + seconds
    while made.state != "done" and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(LOOK_SECONDS)
        made = await client.get(f"{PLACE}/{made.id}", Verification)
    return made


def _show(
    output: Output, done: Verification, damaged: list[VerifiedSnapshot], found: list[Finding]
) -> None:
    for one in damaged:
        output.line(f"snapshot {one.id} of session {one.session_id} is damaged")
        for finding in found:
            if finding.snapshot_id == one.id:
                place = f"{finding.object} at {finding.offset}, {finding.length} bytes"
                output.line(f"  {finding.path or '(all of it)'}: {place}: {finding.found}")
        told = sum(finding.snapshot_id == one.id for finding in found)
        if one.findings > told:
            output.line(f"  and {one.findings - told} more")
    of = ", ".join(f"{count} {outcome}" for outcome, count in sorted(done.snapshots.items()))
    packs = sum(done.packs.values())
    output.line(f"{done.id} {done.state}: snapshots: {of or 'none'}; {packs} packs,"
                f" {done.bytes_read} bytes read")  # fmt: skip
