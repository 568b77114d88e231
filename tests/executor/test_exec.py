"""Commands in a real executor: bounded, in their place, and gone when their time is over."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import Code
from contracts.executors import ExecutorPhase
from contracts.terminals import EXECUTOR_EXEC
from executor.services import terminals
from executor.terminals import commands
from executor.terminals.kept import Kept
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, Running, running
from tests.fixtures.processes import gone, met, number_in


@pytest.fixture
async def executor(place: Path, outside: Outside) -> AsyncGenerator[Running]:
    async with running(place, outside) as known:
        yield known


@pytest.fixture
async def http(executor: Running) -> AsyncGenerator[httpx.AsyncClient]:
    socket = str(executor.place / "control" / "executor.sock")
    transport = httpx.AsyncHTTPTransport(uds=socket)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=30) as client:
        yield client


async def run(http: httpx.AsyncClient, command: str | list[str], **more: Any) -> dict[str, Any]:
    answer = await http.post(EXECUTOR_EXEC.path, json={"command": command, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_line_and_arguments__are_told_apart(http: httpx.AsyncClient) -> None:
    done = await run(http, "printf '%s' out; printf err >&2; exit 3")
    assert (done["stdout"], done["stderr"], done["exit_code"]) == ("out", "err", 3)
    assert (done["timed_out"], done["truncated"]) == (False, False)
    done = await run(http, ["printf", "%s|", "a b", "$HOME", ";"])
    assert done["stdout"] == "a b|$HOME|;|"


async def test_environment__is_the_agents(http: httpx.AsyncClient, executor: Running) -> None:
    done = await run(http, "pwd; echo $HOME; env")
    place = executor.place
    assert done["stdout"].startswith(f"{place / 'workspace'}\n{place / 'home'}\n")
    assert "BERTH_WORKER" not in done["stdout"]


async def test_directory__is_one_of_the_workspace(
    http: httpx.AsyncClient, executor: Running
) -> None:
    inner = executor.place / "workspace" / "a" / "b"
    inner.mkdir(parents=True)
    (executor.place / "workspace" / "out").symlink_to("/etc")
    assert (await run(http, "pwd", cwd="a/b"))["stdout"] == f"{inner}\n"
    for wrong in ("/etc", "..", "a/../../..", "out", "missing", "a/b/../../../control"):
        answer = await http.post(EXECUTOR_EXEC.path, json={"command": "pwd", "cwd": wrong})
        assert (answer.status_code, answer.json()["details"]["field"]) == (400, "cwd"), wrong


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": ""},
        {"command": []},
        {"command": "x", "timeout_seconds": 0},
        {"command": "x", "timeout_seconds": 1e9},
        {"command": "x", "more": 1},
        {"command": "a\0b"},
    ],
)
async def test_body__that_is_wrong_is_refused(
    http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await http.post(EXECUTOR_EXEC.path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, Code.VALIDATION)


async def test_program__that_is_not_there_is_told_as_shells_do(http: httpx.AsyncClient) -> None:
    done = await run(http, ["no-such-program", "x"])
    assert done["exit_code"] == 127
    assert "no-such-program" in done["stderr"]


async def test_output__is_bounded_and_says_so(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "OUTPUT_BYTES", 1000)
    done = await run(http, "yes | head -c 5000000; echo last >&2")
    assert (len(done["stdout"]), done["truncated"], done["exit_code"]) == (1000, True, 0)
    assert done["stderr"] == "last\n"


async def test_timeout__kills_the_whole_tree(
    http: httpx.AsyncClient, executor: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, start = executor.place / "workspace", Kept.start
    pids: list[int] = []

    async def whole(*command: Any, **how: Any) -> Kept:
        """Its time begins when all of the tree is there."""
        kept = await start(*command, **how)
        pids.extend([await number_in(workspace / name) for name in ("deep", "top")])
        return kept

    monkeypatch.setattr(Kept, "start", whole)
    done = await run(
        http,
        "trap '' TERM HUP INT; (trap '' TERM; setsid sh -c 'echo $$ > deep; exec sleep 1004') &"
        " echo started; echo $$ > top; sleep 1005",
        timeout_seconds=0.7,
    )
    assert (done["stdout"], done["exit_code"], done["timed_out"]) == ("started\n", 137, True)
    await gone(*pids)


async def test_end__takes_what_was_left_behind(http: httpx.AsyncClient, executor: Running) -> None:
    done = await run(http, "setsid sleep 1006 & echo $! > left; echo done")
    assert (done["stdout"], done["exit_code"]) == ("done\n", 0)
    await gone(int((executor.place / "workspace" / "left").read_text()))


async def test_signal__is_told_as_shells_do(http: httpx.AsyncClient) -> None:
    assert (await run(http, "kill -9 $$"))["exit_code"] == 128 + signal.SIGKILL


async def test_caller_that_leaves__ends_it(http: httpx.AsyncClient, executor: Running) -> None:
    asking = asyncio.create_task(run(http, "echo $$ > pid; exec sleep 1007"))
    pid = executor.place / "workspace" / "pid"
    number = await number_in(pid)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await gone(number)


async def test_cap__is_told(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, executor: Running
) -> None:
    monkeypatch.setattr(terminals, "MOST_COMMANDS", 1)
    first = asyncio.create_task(run(http, "touch here; until test -e go; do sleep 0.01; done"))
    workspace = executor.place / "workspace"
    await met((workspace / "here").exists, "it runs")
    answer = await http.post(EXECUTOR_EXEC.path, json={"command": "true"})
    assert (answer.status_code, answer.json()["code"]) == (429, Code.RATE_LIMITED)
    (workspace / "go").touch()
    assert (await first)["exit_code"] == 0


async def test_command__that_is_quiet_keeps_the_worker_from_being_idle(
    http: httpx.AsyncClient, executor: Running
) -> None:
    asking = asyncio.create_task(run(http, "touch here; until test -e go; do sleep 0.01; done"))
    workspace = executor.place / "workspace"
    await met((workspace / "here").exists, "it runs")
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        assert (await executor.status()).idle_seconds == 0
    (workspace / "go").touch()
    assert (await asking)["exit_code"] == 0
    async with asyncio.timeout(DEADLINE):
        while not (await executor.status()).idle_seconds:
            continue


async def test_stop__ends_commands(http: httpx.AsyncClient, executor: Running) -> None:
    asking = asyncio.create_task(
        http.post(EXECUTOR_EXEC.path, json={"command": "echo $$ > pid; exec sleep 1008"})
    )
    pid = executor.place / "workspace" / "pid"
    number = await number_in(pid)
    await executor.stop()
    answer = await asking
    assert (answer.status_code, answer.json()["code"]) == (409, Code.WORKER_NOT_RUNNING)
    await gone(number)
    await executor.phase(ExecutorPhase.STOPPED)
