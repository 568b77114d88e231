"""`berth up`: one for each state directory, kept running, found again, stopped as a whole."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from cli.exits import Exit
from cli.stack.leftovers import processes_below
from tests.cli.test_commands import script
from tests.fixtures.commands import Up, berth, read_until, running_up, start_up
from tests.fixtures.deadlines import eventually

LONG_LEASE = ("--set", "control-plane.lease_seconds=300")
"""However long a start takes."""

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]


async def nobody_below(home: Path) -> None:
    async def none() -> bool:
        return processes_below(home) == []

    await eventually(none, f"{processes_below(home)} live on")


def test_up__second_one_is_refused(up: Up) -> None:
    done = up.run("up")
    assert done.code == Exit.REFUSED
    assert str(up.process.pid) in done.err
    assert up.run("ls").code == Exit.OK


async def test_up__port_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = berth(home, "up", "--quick", "--port", str(port))
    assert done.code == Exit.REFUSED
    assert f"Port {port}" in done.err
    await nobody_below(home)


async def test_up__wrong_setting_stops_the_start(home: Path) -> None:
    done = berth(home, "up", "--quick", "--set", "control-plane.lease_seconds=soon")
    assert done.code == Exit.RUN_FAILED
    assert "BERTH_LEASE_SECONDS should be a number" in done.err
    await nobody_below(home)


async def test_up__a_dead_service_comes_back_under_a_reader(up: Up, tmp_path: Path) -> None:
    """The stream goes on behind the last event that was seen."""
    session = up.run("run", "--agent", "scripted", "--json", "hello").json()[0]["session_id"]
    go = tmp_path / "go"
    go.touch()
    texts = [{"text": f"line {number}\n"} for number in range(12)]
    held = {"shell": "until [ -e go ]; do sleep 0.1; done"}
    former = up.pid_of("gateway")
    with up.begun("run", "--session", session, script(*texts[:6], held, *texts[6:])) as reader:
        lines = read_until(reader, "line 2")
        os.kill(former, signal.SIGKILL)

        async def lets_go() -> bool:
            done = await asyncio.to_thread(up.run, "files", "put", session, str(go))
            return done.code == Exit.OK

        await eventually(lets_go, "no gateway takes a file")
        lines += read_until(reader, "succeeded")
    assert [line for line in lines if line.startswith("line")] == [
        f"line {number}" for number in range(12)
    ]
    assert "gateway was ended by SIGKILL" in up.said
    assert up.pid_of("gateway") != former


def test_up__killed_and_started_again() -> None:
    """Its services are ended, its workers adopted: the run that was under way goes on."""
    with running_up(*LONG_LEASE) as first:
        long = script({"text": "under way\n"}, {"sleep": 8}, {"text": "arrived\n"})
        with first.begun("run", "--agent", "scripted", "--json", long) as reader:
            entry = json.loads(read_until(reader, "message.delta")[-1])
        run_id, key = entry["run_id"], (first.home / "secrets" / "api-key").read_text()
        first.process.kill()
        first.process.wait()
        assert first.run("ls").code == Exit.UNREACHABLE
        second = start_up(first.home, *LONG_LEASE)
        second.wait_until_ready()
        followed = second.run("show", run_id, "--follow", "--json").json()
        assert followed[-1]["event"] == {"kind": "run.closed", "state": "succeeded"}
        assert {entry["attempt"] for entry in followed if entry["attempt"]} == {1}
        assert (second.home / "secrets" / "api-key").read_text() == key
        assert second.end(signal.SIGINT) == Exit.OK
        assert "Berth is stopped." in second.said
        assert processes_below(second.home) == []
