"""Terminals of a real executor: real PTYs and shells, over its socket."""

import time
from pathlib import Path

import msgspec
import pytest

from chassis.dialling import Refused
from contracts.errors import Code, Problem
from contracts.executors import ExecutorPhase
from contracts.spool import SnapshotCommitted
from contracts.terminals import (
    Attached,
    CloseCode,
    CloseTerminal,
    Exited,
    ReadOnly,
    Resize,
    Resized,
)
from tests.executor.outside import Outside
from tests.executor.running import Running, running
from tests.executor.seeing import See, code_of, executor, named, see
from tests.fixtures.processes import gone, met

__all__ = ["executor", "see"]


async def test_shell__is_a_real_terminal_in_the_workspace(
    executor: Running, see: See, place: Path
) -> None:
    async with see(columns=100, rows=30) as viewer:
        attached = await viewer.is_told(Attached)
        assert (attached.terminal, attached.writes, attached.replayed) == ("main", True, 0)
        await viewer.enter("tty; stty size; pwd; echo HOME=$HOME TERM=$TERM; echo en''d\r")
        shown = await viewer.sees("end")
    assert b"/dev/pts/" in shown
    assert b"30 100" in shown
    assert str(place / "workspace").encode() in shown
    assert f"HOME={place / 'home'} TERM=xterm-256color".encode() in shown
    assert b"job control" not in shown


async def test_keys__reach_the_program_as_signals(executor: Running, see: See) -> None:
    async with see() as viewer:
        await viewer.enter("sleep 1000; echo co''de=$?\r")
        await viewer.sees("sleep 1000")
        await met(lambda: named("sleep"), "the shell's own child")
        await viewer.enter("\x03")
        await viewer.sees("\r\n")
        await viewer.enter("echo aga''in\r")
        await viewer.sees("again")


async def test_resize__reaches_the_program_and_the_other_viewers(
    executor: Running, see: See
) -> None:
    async with see() as one, see("read") as other:
        await one.say(Resize(columns=123, rows=45))
        resized = await other.is_told(Resized)
        assert (resized.columns, resized.rows) == (123, 45)
        await one.enter("stty size\r")
        await one.sees("45 123")


async def test_resize_storm__is_a_few_resizes(
    executor: Running, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.terminals.terminal.RESIZE_SECONDS", 1.0)
    async with see() as viewer:
        await viewer.enter("n=0; trap 'n=$((n+1))' WINCH; echo rea''dy\r")
        await viewer.sees("ready")
        for number in range(2000):
            await viewer.say(Resize(columns=80 + number % 50, rows=24))
        await viewer.say(Resize(columns=77, rows=33))
        await viewer.until(
            lambda: any(isinstance(one, Resized) and one.columns == 77 for one in viewer.told), "77"
        )
        await viewer.enter("stty size; echo n=$n''.\r")
        shown = await viewer.sees("33 77")
        shown = await viewer.sees("n=")
        told = sum(isinstance(one, Resized) for one in viewer.told)
        assert told < 300, told
        assert b"33 77" in shown


async def test_leaving__keeps_the_terminal_and_coming_back_shows_what_was_there(
    executor: Running, see: See
) -> None:
    async with see() as viewer:
        await viewer.enter("echo $$''pid; x=4''2\r")
        await viewer.sees("pid\r\n")
    async with see() as viewer:
        attached = await viewer.is_told(Attached)
        assert attached.replayed > 0
        await viewer.sees("pid\r\n")
        await viewer.enter("echo x=$x''.\r")
        shown = await viewer.sees("x=42.")
    assert shown.count(b"x=42.") == 1, "nothing that was typed is typed again"


async def test_scrollback__is_bounded(place: Path, outside: Outside, see: See) -> None:
    async with running(place, outside, terminal_scrollback_bytes=20_000):
        async with see() as viewer:
            await viewer.enter("seq 1 50000; echo do''ne\r")
            await viewer.sees("done", 30)
        async with see() as viewer:
            attached = await viewer.is_told(Attached)
            await viewer.sees("done")
        assert attached.replayed <= 26_000
        assert b"\r\n1\r\n" not in viewer.shown


async def test_viewers__see_the_same_and_readers_type_nothing(executor: Running, see: See) -> None:
    async with see() as writer, see("read") as reader, see() as second:
        assert not (await reader.is_told(Attached)).writes
        await reader.enter("echo from-rea''der\r")
        await reader.is_told(ReadOnly)
        await reader.say(Resize(columns=5, rows=5))
        await reader.say(CloseTerminal())
        await second.enter("echo from-sec''ond; stty size\r")
        for viewer in (writer, reader, second):
            shown = await viewer.sees("24 80")
            assert b"from-second" in shown
            assert b"from-reader" not in shown


async def test_reader__opens_no_terminal(executor: Running, see: See) -> None:
    with pytest.raises(Refused) as refused:
        async with see("read"):
            pass
    assert (refused.value.status, code_of(refused)) == (404, Code.NOT_FOUND)


@pytest.mark.parametrize(
    "query", [{"terminal": "../x"}, {"columns": 0}, {"rows": 100_000}, {"columns": "wide"}]
)
async def test_query__that_is_wrong_names_its_field(
    executor: Running, see: See, query: dict[str, object]
) -> None:
    with pytest.raises(Refused) as refused:
        async with see(**query):
            pass
    problem = msgspec.json.decode(refused.value.body, type=Problem)
    assert (problem.status, problem.details["field"]) == (400, next(iter(query)))


async def test_caps__are_told(place: Path, outside: Outside, see: See) -> None:
    async with (
        running(place, outside, terminals=2, terminal_viewers=2),
        see(terminal="a"),
        see(terminal="b"),
    ):
        with pytest.raises(Refused) as refused:
            async with see(terminal="c"):
                pass
        assert refused.value.status == 429
        assert b"close one of a, b" in refused.value.body
        async with see(terminal="a"):
            with pytest.raises(Refused) as refused:
                async with see(terminal="a"):
                    pass
            assert refused.value.status == 429


async def test_readers__leave_places_to_writers(place: Path, outside: Outside, see: See) -> None:
    async with (
        running(place, outside, terminal_viewers=4),
        see(),
        see("read"),
        see("read"),
    ):
        with pytest.raises(Refused) as refused:
            async with see("read"):
                pass
        assert refused.value.status == 429
        async with see() as writer:
            assert (await writer.is_told(Attached)).writes


async def test_message__that_is_none_ends_its_sender_alone(executor: Running, see: See) -> None:
    async with see() as good, see() as bad:
        await bad.socket.send('{"type":"resize","columns":-1,"rows":3}', within=30)
        closed = await bad.is_closed()
        assert closed.code == CloseCode.BAD_MESSAGE
        assert "columns" in closed.reason
        await good.enter("echo st''ill\r")
        await good.sees("still")


async def test_exit__is_told_with_its_code_and_the_next_one_is_new(
    executor: Running, see: See
) -> None:
    async with see() as viewer:
        await viewer.enter("exit 7\r")
        assert (await viewer.is_told(Exited)).exit_code == 7
        assert (await viewer.is_closed()).code == CloseCode.ENDED
    async with see() as viewer:
        assert (await viewer.is_told(Attached)).replayed == 0


async def test_exit__that_nobody_saw_is_told_to_the_next(executor: Running, see: See) -> None:
    async with see() as viewer:
        await viewer.enter("exec sh -c 'echo rea\"\"dy; read x; echo bye; exit 3'\r")
        await viewer.sees("ready")
        await viewer.enter("x\r")
    async with see() as viewer:
        assert (await viewer.is_told(Exited)).exit_code == 3
        assert b"bye" in viewer.shown


async def test_close__ends_the_whole_tree_for_everybody(
    executor: Running, see: See, place: Path
) -> None:
    async with see() as one, see() as other:
        await one.enter(
            "trap '' HUP TERM; (trap '' HUP TERM; setsid sleep 1001 & echo $! > inner) ;"
            " echo $$ > outer; echo rea''dy; sleep 1002\r"
        )
        await one.sees("ready")
        pids = [int((place / "workspace" / name).read_text()) for name in ("inner", "outer")]
        await other.say(CloseTerminal())
        for viewer in (one, other):
            assert (await viewer.is_closed()).code == CloseCode.CLOSED
        await gone(*pids)


async def test_hostile_output__is_filtered_for_every_viewer(executor: Running, see: See) -> None:
    async with see() as viewer:
        await viewer.enter(
            "printf 'a\\033]52;c;ZXZpbA==\\007b\\033[6nc\\033P$qm\\033\\\\d\\033[21te"
            "\\033]8;;http://x\\007f\\033[1mg\\033]2;t\\007h\\n'; echo fin''ished\r"
        )
        shown = await viewer.sees("finished")
    async with see("read") as later:
        again = await later.sees("finished")
    for content in (shown, again):
        assert b"abcdef\x1b[1mgh" in content
        assert b"\x1b]" not in content
        assert b"\x1bP" not in content


async def test_activity__keeps_the_worker_from_being_idle_and_is_saved(
    executor: Running, see: See
) -> None:
    async with see() as viewer:
        await viewer.sees("")
        while ((await executor.status()).idle_seconds or 0) < 0.3:
            continue
        began = time.monotonic()
        await viewer.enter("echo wo''rk > made; echo do''ne\r")
        await viewer.sees("done")
        idle = (await executor.status()).idle_seconds or 0
        assert idle <= time.monotonic() - began, "since then at most"
    await executor.stop()
    await executor.phase(ExecutorPhase.STOPPED)
    assert executor.outside.of(SnapshotCommitted)[-1].snapshot.files == 1


async def test_stop__closes_terminals_with_the_reason_and_refuses_new_ones(
    executor: Running, see: See
) -> None:
    async with see() as viewer:
        await viewer.enter("echo $$ > pid; echo do''ne\r")
        await viewer.sees("done")
        pid = int((executor.place / "workspace" / "pid").read_text())
        await executor.stop()
        closed = await viewer.is_closed()
        assert closed.code == CloseCode.WORKER_GONE
        assert "stops" in closed.reason
        await gone(pid)
    await executor.phase(ExecutorPhase.STOPPED)
    with pytest.raises(Refused) as refused:
        async with see():
            pass
    assert (refused.value.status, code_of(refused)) == (409, Code.WORKER_NOT_RUNNING)
    assert b"send a message" in refused.value.body


async def test_superseded__its_terminals_close(executor: Running, see: See) -> None:
    async with see() as viewer:
        await viewer.enter("echo $$ > pid; echo do''ne\r")
        await viewer.sees("done")
        pid = int((executor.place / "workspace" / "pid").read_text())
        await executor.supersede()
        assert (await viewer.is_closed()).code == CloseCode.WORKER_GONE
        await gone(pid)


async def test_run__leaves_terminals_alone(executor: Running, see: See) -> None:
    async with see() as viewer:
        await viewer.enter("sleep 1003 &\r")
        await viewer.enter("y=here; echo rea''dy\r")
        await viewer.sees("ready")
        await executor.start({"shell": "echo agent > from-agent"}, {"text": "done"})
        assert (await executor.finish()).state == "succeeded"
        await viewer.enter("echo y=$y''. $(jobs -r | wc -l) $(cat from-agent)\r")
        await viewer.sees("y=here. 1 agent")


async def test_idle_terminal__is_closed_with_its_reason(
    place: Path, outside: Outside, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.terminals.TEND_SECONDS", 0.1)
    async with running(place, outside, terminal_idle_seconds=0.5), see() as viewer:
        closed = await viewer.is_closed()
    assert closed.code == CloseCode.CLOSED
    assert "nothing happened" in closed.reason


async def test_detached_terminal__ends_whatever_it_does(
    place: Path, outside: Outside, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.terminals.TEND_SECONDS", 0.1)
    async with running(place, outside, terminal_detached_seconds=0.5):
        async with see() as viewer:
            await viewer.enter("echo $$ > pid; echo rea''dy; yes\r")
            await viewer.sees("ready")
            pid = int((place / "workspace" / "pid").read_text())
        await gone(pid)
