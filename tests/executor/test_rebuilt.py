"""An agent whose own memory is gone: told from the record, visibly, and never twice."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.commands import RunSpec
from contracts.errors import Code, Problem
from contracts.executors import ExecutorPhase
from contracts.spool import RunFinishedReported, RunInterrupted, RunStartedReported
from contracts.transcripts import Transcript
from executor.services.runs import past
from tests.executor.mortal import profiles_in
from tests.executor.outside import Outside
from tests.executor.running import Running, process, running

TOLD = Transcript(
    text="## 2026-01-01 10:00 UTC\n\n**A person:**\n\n> remember NONCE=4711", runs=2, left_out=1
)


@pytest.fixture
def sessions(place: Path) -> Path:
    """The agent's own store, in the saved tree."""
    return place / "workspace" / ".berth" / "agents" / "scripted" / ".scripted" / "sessions"


def records(sessions: Path, kind: str) -> list[dict[str, Any]]:
    """Of all sessions of the agent, in no order."""
    lines = [line for path in sessions.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    known = [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]
    return [found for found in known if found["type"] == kind]


async def first_run(executor: Running) -> None:
    await executor.start({"text": "first"})
    await executor.finish()


def missing(sessions: Path) -> None:
    shutil.rmtree(sessions)


def broken(sessions: Path) -> None:
    (path,) = sessions.glob("*.jsonl")
    path.write_bytes(b"no json\n" + path.read_bytes())


def refused(sessions: Path) -> None:
    """The check finds a file, the agent no session: its name is not one."""
    (path,) = sessions.glob("*.jsonl")
    session_file = sessions.parents[3] / "session.json"
    written = session_file.read_bytes().replace(path.stem.encode(), b"odd.name")
    session_file.write_bytes(written)
    path.rename(sessions / "odd.name.jsonl")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (missing, "the agent's own session is not in its store"),
        (broken, "line 1 of the agent's session store is broken"),
        (refused, "the agent refused to resume"),
    ],
)
async def test_rebuilt__the_record_stands_before_the_prompt(
    place: Path, outside: Outside, sessions: Path, harm: Any, why: str
) -> None:
    async with running(place, outside) as executor:
        await first_run(executor)
        harm(sessions)
        outside.transcript = TOLD
        spec = await executor.start(prompt="recall NONCE", has_history=True)
        finish = await executor.finish(2)
    assert "NONCE is 4711" in finish.output
    started = outside.of(RunStartedReported)[1]
    assert started.resume == "rebuilt"
    assert started.resume_reason.startswith(why)
    assert (
        "2 earlier messages were told to it from the log, 1 older found no room"
        in started.resume_reason
    )
    (context,) = records(sessions, "context")
    assert context["text"].startswith("<session-record>\nThis is a record, not a message")
    assert TOLD.text in context["text"]
    assert [one["text"] for one in records(sessions, "user") if not one["scripted"]] == [
        "recall NONCE"
    ]
    assert [ask.run_id for ask in outside.transcripts] == [spec.run_id]
    assert not outside.events("run.warning")


async def test_rebuilt__the_next_message_is_native_and_the_record_is_not_told_again(
    place: Path, outside: Outside, sessions: Path
) -> None:
    async with running(place, outside) as executor:
        await first_run(executor)
        missing(sessions)
        outside.transcript = TOLD
        await executor.start({"text": "second"}, has_history=True)
        await executor.finish(2)
        await executor.start(prompt="recall NONCE", has_history=True)
        finish = await executor.finish(3)
    assert "NONCE is 4711" in finish.output
    assert [one.resume for one in outside.of(RunStartedReported)] == ["fresh", "rebuilt", "native"]
    assert len(records(sessions, "context")) == 1
    assert len(outside.transcripts) == 1


async def test_rebuilt__its_second_attempt_is_native_and_goes_on(
    place: Path, outside: Outside, sessions: Path
) -> None:
    steps = ({"text": "begun"}, {"crash": 3}, {"text": "ended"})
    async with running(place, outside) as executor:
        await first_run(executor)
        missing(sessions)
        outside.transcript = TOLD
        spec = await executor.start(*steps, has_history=True)
        await executor.finish(2)
        await again(executor, spec)
        assert (await executor.finish(3)).state == "succeeded"
    assert [one.resume for one in outside.of(RunStartedReported)][1:] == ["rebuilt", "native"]
    assert len(records(sessions, "context")) == 1
    assert sum(one["scripted"] for one in records(sessions, "user")) == 1


async def test_rebuilt__lost_again_its_second_attempt_is_rebuilt_once_more(
    place: Path, outside: Outside, sessions: Path
) -> None:
    async with running(place, outside) as executor:
        await first_run(executor)
        missing(sessions)
        outside.transcript = TOLD
        spec = await executor.start({"text": "begun"}, {"crash": 3}, has_history=True)
        await executor.finish(2)
        missing(sessions)
        await again(executor, spec)
        await executor.finish(3)
    assert [one.resume for one in outside.of(RunStartedReported)][1:] == ["rebuilt", "rebuilt"]
    (user,) = records(sessions, "user")
    assert user["text"].startswith(spec.prompt)
    assert "begun before and interrupted" in user["text"]
    assert len(records(sessions, "context")) == 1


async def test_rebuilt__killed_before_the_agent_took_it_in_it_is_told_once_again(
    place: Path, outside: Outside, sessions: Path
) -> None:
    async with process(place, outside) as executor:
        await executor.phase(ExecutorPhase.READY)
        await first_run(executor)
    missing(sessions)
    outside.transcript = TOLD
    async with process(place, outside, failpoints="run.before_prompt=kill9") as executor:
        await executor.phase(ExecutorPhase.READY)
        spec = await executor.start({"text": "second"}, has_history=True)
        assert await executor.gone() == -9
    async with process(place, outside) as executor:
        await executor.entry(RunInterrupted)
        await again(executor, spec)
        await executor.until(lambda: outside.of(RunFinishedReported)[1:])
    assert [one.resume for one in outside.of(RunStartedReported)][1:] == ["rebuilt", "rebuilt"]
    assert len(records(sessions, "context")) == 1


@pytest.mark.parametrize(("deaths", "resume"), [(1, "native"), (2, "rebuilt")])
async def test_rebuilt__an_agent_that_ends_over_its_own_session(
    place: Path, outside: Outside, deaths: int, resume: str
) -> None:
    """Once may be chance; again, it is its session."""
    async with running(place, outside, agent_profiles_dir=profiles_in(place)) as executor:
        await executor.start(agent="mortal", prompt="first")
        await executor.finish()
        (place / "home" / "deaths").write_text(str(deaths))
        outside.transcript = TOLD
        await executor.start(agent="mortal", prompt="second", has_history=True)
        finish = await executor.finish(2)
    assert finish.state == "succeeded"
    started = outside.of(RunStartedReported)[1]
    assert started.resume == resume
    if resume == "rebuilt":
        assert started.resume_reason.startswith("the agent ended while it resumed its own session")
        context, _, message = finish.output.partition(" | ")
        assert "remember NONCE=4711" in context
        assert message == "second"
    else:
        assert finish.output == "I heard: second"


async def test_fresh__nothing_to_tell_is_said(
    place: Path, outside: Outside, sessions: Path
) -> None:
    async with running(place, outside) as executor:
        await first_run(executor)
        missing(sessions)
        await executor.start({"text": "second"}, has_history=True)
        await executor.finish(2)
    await told_fresh(outside, sessions, "nothing to tell")


@pytest.mark.parametrize(
    ("fault", "seconds", "why"),
    [
        (503, 1.0, "could not be asked for within"),
        (
            Problem(title="t", status=404, code=Code.RUN_NOT_FOUND),
            3600.0,
            "was refused: run_not_found",
        ),
    ],
)
async def test_fresh__a_record_that_cannot_be_had_holds_nobody_up(
    place: Path,
    outside: Outside,
    sessions: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fault: Any,
    seconds: float,
    why: str,
) -> None:
    monkeypatch.setattr(past, "ASK_SECONDS", seconds)
    async with running(place, outside) as executor:
        await first_run(executor)
        missing(sessions)
        outside.transcript = TOLD
        outside.fail_next("transcript", *[fault] * 100)
        await executor.start({"text": "second"}, has_history=True)
        assert (await executor.finish(2)).state == "succeeded"
    await told_fresh(outside, sessions, why)


async def test_fresh__a_first_message_asks_for_no_record(place: Path, outside: Outside) -> None:
    outside.transcript = TOLD
    async with running(place, outside) as executor:
        await first_run(executor)
    assert outside.of(RunStartedReported)[0].resume == "fresh"
    assert not outside.transcripts
    assert not outside.events("run.warning")


async def test_cancel__while_the_record_is_asked_for(
    place: Path, outside: Outside, sessions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "ASK_SECONDS", 3600.0)
    async with running(place, outside) as executor:
        await first_run(executor)
        missing(sessions)
        outside.fail_next("transcript", *[503] * 1000)
        spec = await executor.start({"text": "second"}, has_history=True)
        await executor.until(lambda: outside.calls["transcript"])
        await executor.cancel(spec)
        assert (await executor.finish(2)).state == "canceled"


async def told_fresh(outside: Outside, sessions: Path, why: str) -> None:
    started = outside.of(RunStartedReported)[1]
    assert started.resume == "fresh"
    assert why in started.resume_reason
    (warning,) = outside.events("run.warning")
    assert (warning["code"], warning["detail"]) == ("resume_unavailable", started.resume_reason)
    assert not records(sessions, "context")


async def again(executor: Running, spec: RunSpec) -> None:
    await executor.start(
        run_id=spec.run_id, attempt=spec.attempt + 1, prompt=spec.prompt, has_history=True
    )
