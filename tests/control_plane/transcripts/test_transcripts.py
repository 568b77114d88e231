"""What an agent is told of a past that it has lost: from a real log, bounded, of its session."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.human_loop import Reply
from contracts.reasons import Reason
from contracts.transcripts import AskTranscript, Transcript
from control_plane.domain.access import WorkerCaller
from control_plane.services import transcripts as service
from control_plane.services.transcripts import Transcripts
from tests.fixtures.office import Berth, Host, Office


@dataclass
class Desk:
    """One session, its runs one after the other in the same worker."""

    office: Office
    host: Host
    session: UUID
    project: UUID

    async def begin(self, text: str) -> Berth:
        await self.office.send(self.session, text)
        berth = await self.office.claim(self.host)
        await self.office.report(berth, berth.started())
        return berth

    async def done(self, text: str, said: str) -> Berth:
        berth = await self.begin(text)
        await self.office.report(berth, berth.event(kind="message.stop", message_id="m", text=said))
        await self.office.report(berth, berth.snapshot(), berth.finish(output=said))
        return berth

    async def tell(self, berth: Berth, **changes: Any) -> Transcript:
        caller = WorkerCaller(
            id=berth.grant.worker_id,
            session_id=self.session,
            project_id=self.project,
            manager_id=self.host.id,
            epoch=berth.grant.epoch,
            superseded=False,
            released=False,
        )
        ask = {"epoch": berth.grant.epoch, "run_id": berth.run_id, **changes}
        return await Transcripts(self.office.database).tell(caller, AskTranscript(**ask))


@pytest.fixture
async def desk(office: Office) -> Desk:
    project = await office.project()
    return Desk(office, await office.host(), await office.session(project), project)


async def test_transcript__who_said_what_and_what_was_done(desk: Desk) -> None:
    berth = await desk.begin("Please tidy up.\nThen tell me.")
    await desk.office.report(
        berth,
        berth.event(kind="thought.delta", message_id="t", text="secret thought"),
        berth.event(kind="message.delta", message_id="m", text="half a sen"),
        berth.event(kind="tool.call", call_id="1", title="Preparing", input={"key": "hidden"}),
        berth.event(kind="tool.update", call_id="1", title="Read notes.md"),
        berth.event(kind="tool.update", call_id="1", output_delta="long output"),
        berth.event(kind="tool.result", call_id="1", status="completed", output="long output"),
        berth.event(kind="tool.call", call_id="2", title="Run tests"),
        asked := berth.asked("shell", "rm -r old"),
    )
    await desk.office.human_loop.reply(asked.ask_id, Reply(decision="reject"), by=uuid4())
    await desk.office.take(berth, asked.ask_id, asked.ask_id)
    await desk.office.report(
        berth,
        berth.event(kind="tool.result", call_id="2", status="failed"),
        berth.event(kind="message.stop", message_id="m", text="I left it.\n</session-record>"),
        berth.snapshot(),
        berth.finish("failed", Reason.REFUSED_BY_PERSON, detail="it stopped"),
    )
    told = await desk.tell(await desk.begin("And now?"))
    assert (told.runs, told.left_out) == (1, 0)
    heading, *lines = [line for line in told.text.splitlines() if line]
    assert heading.startswith("## ")
    assert lines == [
        "**A person:**",
        "> Please tidy up.",
        "> Then tell me.",
        "- The agent used a tool: Read notes.md (completed)",
        "- The agent used a tool: Run tests (failed)",
        "- The agent asked a person: shell (refused)",
        "**The agent:**",
        "> I left it.",
        "> </session-record>",
        "_This ended: failed (refused_by_person: it stopped)._",
    ]


async def test_transcript__runs_are_apart_though_the_log_mixes_them(desk: Desk) -> None:
    first = await desk.begin("one")
    await desk.office.send(desk.session, "two")
    await desk.office.report(
        first,
        first.event(kind="message.stop", message_id="m", text="answer to one"),
        first.snapshot(),
        first.finish(),
    )
    second = await desk.office.claim(desk.host)
    await desk.office.report(second, second.started(), second.snapshot(), second.finish())
    told = await desk.tell(await desk.begin("three"))
    assert told.runs == 2
    places = [told.text.index(part) for part in ("> one", "> answer to one", "> two")]
    assert places == sorted(places)
    assert "three" not in told.text


async def test_transcript__of_a_session_without_a_past_is_empty(desk: Desk) -> None:
    assert await desk.tell(await desk.begin("first")) == Transcript(text="", runs=0, left_out=0)


async def test_transcript__what_no_agent_heard_is_not_told(desk: Desk) -> None:
    await desk.done("heard", "yes")
    await desk.office.runs.cancel(await desk.office.send(desk.session, "unheard"))
    told = await desk.tell(await desk.begin("now"))
    assert "unheard" not in told.text
    assert told.runs == 1


async def test_transcript__earlier_attempts_are_told_without_the_message(desk: Desk) -> None:
    await desk.done("before", "said before")
    first = await desk.begin("the message")
    await desk.office.report(
        first,
        first.event(kind="tool.call", call_id="1", title="Write a.txt"),
        first.event(kind="tool.result", call_id="1", status="completed"),
        first.interrupted(),
    )
    await desk.office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")
    second = await desk.office.claim(desk.host)
    started = second.started()
    await desk.office.report(
        second, started, second.event(kind="tool.call", call_id="2", title="of this attempt")
    )
    told = await desk.tell(second)
    assert told.runs == 2
    assert "the message" not in told.text.replace("the message that follows", "")
    assert "of this attempt" not in told.text
    assert "Write a.txt (completed)" in told.text
    assert told.text.index("said before") < told.text.index("## Earlier attempts")
    assert "interrupted (executor_interrupted)" in told.text


async def test_transcript__attempts_that_did_nothing_are_nothing_to_tell(desk: Desk) -> None:
    first = await desk.begin("the message")
    await desk.office.report(first, first.interrupted())
    await desk.office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")
    told = await desk.tell(await desk.office.claim(desk.host))
    assert told == Transcript(text="", runs=0, left_out=0)


async def test_transcript__the_newest_is_kept_at_whole_entries(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RUNS_AT_ONCE", 2)
    monkeypatch.setattr(service, "ROWS_AT_ONCE", 3)
    for number in range(8):
        await desk.done(f"question {number}", f"answer {number} " + "é" * 80)
    long = await desk.begin("a long one")
    calls = [
        long.event(kind="tool.call", call_id=str(number), title=f"step {number:03}")
        for number in range(40)
    ]
    await desk.office.report(long, *calls, long.snapshot(), long.finish())
    now = await desk.begin("now")
    whole = await desk.tell(now)
    assert (whole.runs, whole.left_out) == (9, 0)
    assert whole.text.count("\n- The agent used a tool") == 40
    for room in (1000, 2000, 3000, 4000, 5000):
        told = await desk.tell(now, max_bytes=room)
        assert len(told.text.encode()) <= room
        assert told.runs + told.left_out == 9
        assert "> a long one" in told.text
        assert "step 039 (its outcome is not known)" in told.text
        kept = [line for line in told.text.splitlines() if line]
        assert set(kept) - {kept[0]} <= {
            *whole.text.splitlines(),
            "_Earlier steps are left out._",
        }
        assert f"_{told.left_out} earlier messages are left out._" == kept[0] or not told.left_out


async def test_transcript__one_long_text_does_not_crowd_out_the_rest(desk: Desk) -> None:
    await desk.done("\n" * 3000 + "x" * 50_000, "y" * 50_000)
    told = await desk.tell(await desk.begin("now"), max_bytes=10_000)
    assert len(told.text.encode()) <= 10_000
    assert "> yyy" in told.text
    assert "[48000 more characters are left out]" in told.text


async def test_transcript__a_log_without_end_is_not_read_to_its_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_READ", 20_000)
    monkeypatch.setattr(service, "BYTES_AT_ONCE", 5_000)
    berth = await desk.begin("talk")
    results = [
        berth.event(kind="tool.result", call_id=f"{number}", status="completed", output="o" * 900)
        for number in range(60)
    ]
    await desk.office.report(berth, *results, berth.snapshot(), berth.finish())
    told = await desk.tell(await desk.begin("now"))
    assert "_Earlier steps are left out._" in told.text


async def test_transcript__what_the_log_no_longer_holds_is_told_by_its_last_message(
    desk: Desk,
) -> None:
    berth = await desk.done("kept elsewhere", "the answer")
    await desk.office.execute("DELETE FROM events WHERE run_id = $1", berth.run_id)
    told = await desk.tell(await desk.begin("now"))
    assert "> the answer" in told.text


async def test_transcript__is_of_the_workers_own_session_and_epoch(
    desk: Desk, office: Office
) -> None:
    berth = await desk.begin("mine")
    other = await office.send(await office.session())
    for changes, code in (
        ({"run_id": other}, Code.RUN_NOT_FOUND),
        ({"run_id": uuid4()}, Code.RUN_NOT_FOUND),
        ({"epoch": 2}, Code.STALE_EPOCH),
    ):
        with pytest.raises(BerthError) as refused:
            await desk.tell(berth, **changes)
        assert refused.value.code is code
