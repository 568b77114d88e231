"""`berth up`: the whole stack on this machine, until Ctrl-C."""

import asyncio
import contextlib
import signal
from collections.abc import Generator
from typing import Annotated

from cyclopts import Parameter

from cli.exits import CliError, Exit
from cli.output import Output, StepReporter
from cli.settings import read_settings, search_path
from cli.stack.leftovers import processes_below
from cli.stack.options import StackOptions, parse_overrides
from cli.stack.record import API_KEY
from cli.stack.stack import Ready, running_stack


async def up(
    *,
    port: Annotated[
        int | None, Parameter(help="The gateway's; else the former one, or a free one.")
    ] = None,
    set_: Annotated[
        tuple[str, ...],
        Parameter(name="--set", help="A service's setting: SERVICE.SETTING=VALUE. Repeat it."),
    ] = (),
    quick: Annotated[
        bool, Parameter(negative=(), help="For trials: Postgres does not wait for the disk.")
    ] = False,
) -> Exit:
    """Start Berth on this machine: database, object store and all services. Ctrl-C stops it.

    State is kept in BERTH_HOME (~/.berth, as root /var/lib/berth).
    """
    output = Output()
    settings = read_settings()
    try:
        overrides = parse_overrides(list(set_))
    except ValueError as error:
        raise CliError(str(error), Exit.USAGE) from error
    options = StackOptions(
        home=settings.home_or_default(),
        port=port,
        overrides=overrides,
        agent_path=search_path(),
        quick=quick,
    )
    await _run(options, output)
    return Exit.OK


async def _run(options: StackOptions, output: Output) -> None:
    reporter = StepReporter(output)
    hurry = asyncio.Event()
    reporter.say(f"Starting Berth; its state is in {options.home}")
    with _signals(hurry, reporter) as asked:
        stopping = asyncio.create_task(asked.wait())
        work = asyncio.create_task(_serve(options, reporter, hurry, asked, output))
        await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done() and not work.done():
            work.cancel()  # a start is cut short; a running stack is already on its way
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    _say_what_is_left(options, reporter)
    reporter.say("Berth is stopped.")


async def _serve(
    options: StackOptions,
    reporter: StepReporter,
    hurry: asyncio.Event,
    asked: asyncio.Event,
    output: Output,
) -> None:
    async with running_stack(options, reporter, hurry=hurry) as ready:
        _greet(ready, options, output)
        await asked.wait()


def _say_what_is_left(options: StackOptions, reporter: StepReporter) -> None:
    left = processes_below(options.home)
    if left:
        reporter.warn(
            f"{len(left)} processes of workers that are not saved yet still run; the next "
            "`berth up` adopts them."
        )


def _greet(ready: Ready, options: StackOptions, output: Output) -> None:
    output.line(f"Berth is ready: {ready.url}", style="bold green")
    output.line(f"Its first API key is in {options.home / API_KEY}; `berth` uses it by itself.")
    output.line('Try: berth run --agent scripted "remember color=blue"')
    output.line("Ctrl-C stops it; workspaces are saved first.")


@contextlib.contextmanager
def _signals(hurry: asyncio.Event, reporter: StepReporter) -> Generator[asyncio.Event]:
    """Gives the event that the first signal sets; the next ones set `hurry`."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def received() -> None:
        if asked.is_set():
            reporter.warn("Hurrying: what is not saved yet stays on disk.")
            hurry.set()
        else:
            reporter.say("Stopping; once more hurries it.")
        asked.set()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, received)
    try:
        yield asked
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
