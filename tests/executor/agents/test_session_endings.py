"""How a turn ends before its agent is done: watchdog, limits, cancel, end, pause."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from contracts.events import Event
from contracts.reasons import Reason
from executor.agents.connection import UNREAD
from executor.agents.profile import Quirks
from executor.agents.turn import TurnLimits
from tests.executor.agents.driven import DEADLINE, Berth, state_of, wait_gone
from tests.fixtures.processes import met


@pytest.mark.parametrize("hang", [True, "deaf"])
async def test_watchdog__silence(berth: Berth, hang: bool | str) -> None:  # noqa: FBT001 - a case
    hangs = berth.workspace / "hangs"
    async with berth.opened() as agent:
        turn = agent.begin({"text": "a"}, {"hang": hang, "once": str(hangs)})
        await met(hangs.exists, "it hangs")
        # who is not deaf has the time to end its turn
        agent.limit(TurnLimits(silence=0.3, grace=0.3 if hang == "deaf" else DEADLINE))
        result = await turn
        assert (result.outcome, result.reason) == ("failed", Reason.AGENT_SILENT)
        assert (agent.session.processes == []) is (hang == "deaf")


async def test_watchdog__an_open_question_is_not_silence(berth: Berth) -> None:
    async with berth.opened() as agent:
        turn = agent.begin({"shell": "echo hi", "ask": True})
        await agent.desk.asked.wait()
        agent.limit(TurnLimits(silence=0.3, duration=0.4, grace=0.3))
        done, _ = await asyncio.wait([turn], timeout=1.0)
        assert not done
        await agent.session.cancel()
        assert (await turn).outcome == "canceled"


async def test_limits__duration(berth: Berth) -> None:
    async with berth.opened() as agent:
        limits = TurnLimits(duration=0.4, grace=1)
        result = await agent.turn({"text": "word " * 500, "delay": 0.02}, limits=limits)
        assert (result.outcome, result.reason) == ("failed", Reason.DURATION_LIMIT)


# Cancel: at each moment, and no process is left


async def test_cancel__mid_stream(berth: Berth) -> None:
    async with berth.opened() as agent:
        turn = agent.begin({"text": "word " * 1500, "delay": 0.02})
        await agent.desk.until("message.delta")
        await agent.session.cancel(grace=DEADLINE)
        result = await turn
        assert (result.outcome, result.reason) == ("canceled", Reason.CANCELED)
        assert result.text.startswith("word")
        assert (await agent.say("still there?")).outcome == "completed"


@pytest.mark.parametrize("detach", [False, True])
async def test_cancel__mid_tool(berth: Berth, detach: bool) -> None:  # noqa: FBT001 - a case
    async with berth.opened() as agent:
        os.mkfifo(berth.workspace / "pid")
        turn = agent.begin(
            {"ignore_sigterm": True},
            {"shell": "trap '' TERM; echo $$ > pid; exec sleep 300", "detach": detach},
            {"shell": "sleep 300"},
        )
        child = await agent.pid_from("pid")
        keeper = agent.session._process.pid
        await agent.session.cancel()
        assert (await turn).outcome == "canceled"
        assert agent.desk.of("tool.result")[-1].status == "canceled"
        await agent.session.end(grace=0.2)
        assert await asyncio.to_thread(wait_gone, child)
        assert agent.session.processes == []
        assert await asyncio.to_thread(wait_gone, keeper)


async def test_cancel__mid_permission(berth: Berth) -> None:
    async with berth.opened() as agent:
        turn = agent.begin({"write": {"path": "a.txt", "content": "x"}, "ask": True})
        await agent.desk.asked.wait()
        await agent.session.cancel()
        assert (await turn).outcome == "canceled"
        assert agent.desk.withdrawn == 1
        assert not (berth.workspace / "a.txt").exists()


async def test_cancel__deaf_agent_is_killed(berth: Berth) -> None:
    hangs = berth.workspace / "hangs"
    async with berth.opened() as agent:
        turn = agent.begin({"ignore_sigterm": True}, {"hang": "deaf", "once": str(hangs)})
        await met(hangs.exists, "it is deaf")
        await agent.session.cancel(grace=0.2)
        assert (await turn).outcome == "canceled"
        assert agent.session.processes == []


async def test_end__mid_turn_says_nothing_about_the_work(berth: Berth) -> None:
    async with berth.opened() as agent:
        turn = agent.begin({"shell": "sleep 300", "ask": True})
        await agent.desk.asked.wait()
        await agent.session.end(grace=0.2)
        result = await turn
        assert (result.outcome, result.reason) == ("stopped", Reason.EXECUTOR_INTERRUPTED)
        assert agent.desk.withdrawn == 1


async def test_end__a_killed_keeper_leaves_nobody(berth: Berth) -> None:
    async with berth.opened() as agent:
        os.mkfifo(berth.workspace / "pid")
        turn = agent.begin(
            {"shell": "echo $$ > pid; exec sleep 300", "detach": True}, {"shell": "sleep 300"}
        )
        daemon = await agent.pid_from("pid")
        processes = agent.session.processes
        os.kill(agent.session._process.pid, signal.SIGKILL)
        assert (await turn).reason == Reason.AGENT_CRASHED
        await agent.session.end(grace=0)
        for pid in (daemon, *processes):
            assert await asyncio.to_thread(wait_gone, pid)


async def test_pause__stops_every_process(berth: Berth) -> None:
    async with berth.opened() as agent:
        os.mkfifo(berth.workspace / "pid")
        os.mkfifo(berth.workspace / "gate")
        turn = agent.begin({"shell": "echo $$ > pid; cat gate; true"})
        await agent.pid_from("pid")
        agent.session.pause()
        # each was told to, and does so when it has its turn
        await met(lambda: {state_of(pid) for pid in agent.session.processes} == {"T"}, "all stand")
        agent.session.resume()
        await asyncio.to_thread((berth.workspace / "gate").write_text, "")
        assert (await turn).outcome == "completed"


async def test_pause__not_once_the_end_was_asked_for(berth: Berth) -> None:
    hangs = berth.workspace / "hangs"
    async with berth.opened() as agent:
        turn = agent.begin({"hang": "deaf", "once": str(hangs)})
        await met(hangs.exists, "it is deaf")
        agent.session.pause()
        await met(lambda: state_of(agent.session.processes[0]) == "T", "it stands still")
        canceling = asyncio.create_task(agent.session.cancel(grace=60))
        await met(lambda: state_of(agent.session.processes[0]) != "T", "it was woken")
        agent.session.pause()
        assert "T" not in map(state_of, agent.session.processes)
        await agent.session.end(grace=0)
        await canceling
        assert (await turn).outcome == "stopped"


# Permissions and questions


def restless(berth: Berth, how: str) -> Berth:
    program = Path(__file__).with_name("restless_agent.py")
    command = [sys.executable, str(program), how]
    berth.profile = msgspec.structs.replace(berth.profile, command=command)
    return berth


async def test_cancel__an_agent_that_never_pauses_is_killed(berth: Berth) -> None:
    async with restless(berth, "flood").opened() as agent:
        turn = asyncio.create_task(agent.say("go"))
        await agent.desk.until("message.delta")
        await agent.session.cancel(grace=0.2)
        assert (await turn).outcome == "canceled"


@pytest.mark.parametrize("stays", [False, True])
async def test_end__its_input_ends_first_and_what_was_unwritten_is_written(
    berth: Berth,
    stays: bool,  # noqa: FBT001 - a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("executor.agents.process.READ_OUT", DEADLINE)
    berth.profile = msgspec.structs.replace(
        berth.profile,
        command=[sys.executable, str(Path(__file__).with_name("curt_agent.py")), "end_turn"],
        modes={},
        quirks=Quirks(stays_without_input=stays),
    )
    async with berth.opened() as agent:
        await agent.session.end(grace=DEADLINE)
        assert (berth.workspace / "written-at-the-end").exists() is not stays


async def test_limits__duration_of_an_agent_that_never_pauses(berth: Berth) -> None:
    async with restless(berth, "flood").opened() as agent:
        result = await agent.say("go", limits=TurnLimits(duration=0.4, grace=0.2))
        assert (result.outcome, result.reason) == ("failed", Reason.DURATION_LIMIT)


async def test_flood__who_is_not_listened_to_has_to_wait(berth: Berth) -> None:
    async with restless(berth, "flood").opened() as agent:
        asked, heard = asyncio.Event(), asyncio.Event()

        async def busy(_: Event) -> None:
            asked.set()
            await heard.wait()

        turn = asyncio.create_task(
            agent.session.turn("go", on_event=busy, ask=agent.desk.ask, limits=TurnLimits())
        )
        await asked.wait()
        await asyncio.sleep(0.5)  # an agent that is not held back tells thousands of things in it
        assert agent.session._inbox.qsize() <= UNREAD
        heard.set()
        await agent.session.end(grace=0)
        assert (await turn).outcome == "stopped"


async def test_watchdog__an_agent_that_does_not_read_its_long_prompt(berth: Berth) -> None:
    async with restless(berth, "deaf").opened() as agent:
        limits = TurnLimits(silence=0.3, grace=0.3)
        result = await agent.say("x" * 1_000_000, limits=limits)
        assert (result.outcome, result.reason) == ("failed", Reason.AGENT_SILENT)
