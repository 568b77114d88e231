"""`berth doctor`: looks at what Berth needs, and says what to do about what is missing."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from cli.doctor.engine import DEFAULT_ENGINE, look_at_engine, table
from cli.doctor.findings import Finding, Verdict
from cli.doctor.machine import look_at_machine
from cli.doctor.sandbox import look_at_sandbox
from cli.doctor.stack import look_at_stack
from cli.doctor.store import look_at_store
from cli.exits import CliError, Exit
from cli.output import Output
from cli.settings import read_settings, search_path
from cli.stack.record import read_record

_MARKS: dict[Verdict, tuple[str, str]] = {
    "ok": ("ok  ", "green"),
    "note": ("note", "yellow"),
    "hole": ("HOLE", "bold red"),
    "bad": ("BAD ", "bold red"),
}


async def doctor(
    *,
    s3: Annotated[
        bool, Parameter(negative=(), help="Only check the object store of BERTH_OBJECT_STORE_*.")
    ] = False,
    endpoint: Annotated[str | None, Parameter(help="With --s3: its http(s)://host:port.")] = None,
    bucket: Annotated[str | None, Parameter(help="With --s3: a bucket that exists.")] = None,
    access_key: Annotated[
        str | None,
        Parameter(help="With --s3; the secret is in BERTH_OBJECT_STORE_SECRET_KEY or ..._FILE."),
    ] = None,
    region: Annotated[str | None, Parameter(help="With --s3.")] = None,
    engine: Annotated[
        str,
        Parameter(help="The container engine to look at, where no manager that runs told of it."),
    ] = DEFAULT_ENGINE,
    json: Annotated[bool, Parameter(negative=(), help="Each finding as a JSON line.")] = False,
) -> Exit:
    """Look at this machine, its engine and stack. Code 6 when something Berth needs is missing."""
    output = Output()
    given = {"url": endpoint, "bucket": bucket, "access_key": access_key, "region": region}
    if s3:
        return await _store(given, output, json=json)
    if any(given.values()):
        raise CliError("--endpoint, --bucket, --access-key and --region go with --s3", Exit.USAGE)
    return await _machine(output, engine, json=json)


async def _store(given: dict[str, str | None], output: Output, *, json: bool) -> Exit:
    fit = True
    async for finding in look_at_store(given):
        fit = fit and finding.passed
        if json:
            output.json(finding)
        elif finding.passed:
            output.line(f"PASS {finding.check}", "green")
        else:
            output.line(f"FAIL {finding.check}: {finding.reason}", "bold red")
            output.line(f"     {finding.remedy}")
    return Exit.OK if fit else Exit.DEPENDENCY_MISSING


async def _machine(output: Output, engine: str, *, json: bool) -> Exit:
    home = read_settings().home_or_default()
    running = read_record(home)
    machine = await asyncio.to_thread(
        look_at_machine, home, path=search_path(), running=running is not None
    )
    stack = await look_at_stack(home, running)
    engines = [] if stack.engine else await look_at_engine(engine, home)
    sandbox = [] if stack.here else [await asyncio.to_thread(look_at_sandbox)]
    findings = [*machine, *stack.findings, *sandbox, *engines]
    for finding in findings:
        if json:
            output.json(finding)
        else:
            _show(finding, output)
    if not json:
        _show_promises(table(stack.here), output)
    bad = any(finding.verdict == "bad" for finding in findings)
    return Exit.DEPENDENCY_MISSING if bad else Exit.OK


def _show_promises(rows: list[tuple[str, ...]], output: Output) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    output.line("")
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        output.line("  ".join(padded).rstrip())
    output.line("host: as far as the host can. docs/security.md says it in full.")


def _show(finding: Finding, output: Output) -> None:
    mark, style = _MARKS[finding.verdict]
    output.line(f"{mark} {finding.what}: {finding.found}", style)
    if finding.how:
        output.line(f"     {finding.how}")
