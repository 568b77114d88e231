"""`berth demo`: starts a stack of its own, shows one session's life, checks it, stops all."""

import asyncio
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cli.agents import require_agent
from cli.client import ApiClient, Place
from cli.demo.model import offer, running_model
from cli.demo.play import Play, Summary
from cli.demo.scenario import Scenario, claude_code, scripted
from cli.demo.turn import DemoFailed
from cli.exits import Exit
from cli.output import Output, StepReporter
from cli.settings import search_path
from cli.stack.leftovers import processes_below
from cli.stack.options import StackOptions
from cli.stack.stack import running_stack

SCENARIOS = {"scripted": scripted, "claude-code": claude_code}


async def demo(
    *,
    agent: Annotated[
        Literal["scripted", "claude-code"], Parameter(help="Which agent to show.")
    ] = "scripted",
    home: Annotated[
        Path | None, Parameter(help="The stack's state; kept. Else a directory that is removed.")
    ] = None,
) -> Exit:
    """Show what Berth does, on a stack of its own: needs nothing, leaves nothing.

    The last line of standard output is one JSON object.
    """
    output = Output()
    path = search_path()
    require_agent(agent, path)
    place = (home or Path(tempfile.mkdtemp(prefix="berth-demo-"))).absolute()
    place.mkdir(parents=True, exist_ok=True)
    options = StackOptions(home=place, agent_path=path, quick=home is None)
    _cancel_on_sigterm()
    try:
        summary = await _show(options, SCENARIOS[agent](), output)
    except BaseException:
        output.note(f"What was left is in {place}: see {place}/logs.", style="")
        raise
    if home is None:
        await asyncio.to_thread(shutil.rmtree, place)
    output.json(summary)
    return Exit.OK


async def _show(options: StackOptions, scenario: Scenario, output: Output) -> Summary:
    async with AsyncExitStack() as around:
        model: str | None = None
        if scenario.needs_model:
            model = await around.enter_async_context(running_model(options.home / "model.jsonl"))
            options = replace(options, overrides={"control-plane": {"model_hosts": model}})
        ready = await around.enter_async_context(running_stack(options, StepReporter(output)))
        place = Place(url=ready.url, key=ready.key)
        client = await around.enter_async_context(ApiClient(place))
        if model is not None:
            await offer(client, model)
        play = Play(client, home=options.home, scenario=scenario, output=output)
        summary = await play.play()
    left = processes_below(options.home)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise DemoFailed(f"processes are left after the stop: {pids}")
    output.line("\n4. Everything is stopped: no process is left", "bold")
    return summary


def _cancel_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
