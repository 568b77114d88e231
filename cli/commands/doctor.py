"""`berth doctor`: looks at what Berth needs, and says what to do about what is missing."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from cli.doctor.findings import Finding, Verdict
from cli.doctor.machine import look_at_machine
from cli.doctor.stack import look_at_stack
from cli.exits import Exit
from cli.output import Output
from cli.settings import read_settings, search_path
from cli.stack.record import read_record

_MARKS: dict[Verdict, tuple[str, str]] = {
    "ok": ("ok  ", "green"),
    "note": ("note", "yellow"),
    "bad": ("BAD ", "bold red"),
}


async def doctor(
    *, json: Annotated[bool, Parameter(negative=(), help="Each finding as a JSON line.")] = False
) -> Exit:
    """Look at this machine and its stack. Code 6 when something that Berth needs is missing."""
    output = Output()
    home = read_settings().home_or_default()
    running = read_record(home)
    machine = await asyncio.to_thread(
        look_at_machine, home, path=search_path(), running=running is not None
    )
    findings = [*machine, *await look_at_stack(home, running)]
    for finding in findings:
        if json:
            output.json(finding)
        else:
            _show(finding, output)
    bad = any(finding.verdict == "bad" for finding in findings)
    return Exit.DEPENDENCY_MISSING if bad else Exit.OK


def _show(finding: Finding, output: Output) -> None:
    mark, style = _MARKS[finding.verdict]
    output.line(f"{mark} {finding.what}: {finding.found}", style)
    if finding.how:
        output.line(f"     {finding.how}")
