"""The ring, and frames as they go out."""

import datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.events import RawLogEntry
from control_plane.domain import log_cursor
from control_plane.domain.frames import Frame, Ring, frame, join

RUN = uuid4()
STREAM = UUID(int=7)


def one(seq: int, *, size: int = 10, run: UUID | None = None, closes: bool = False) -> Frame:
    return Frame(seq, run, closes, b"x" * size)


def ring(*frames: Frame, count: int = 100, size: int = 1000, easy: int = 0) -> Ring:
    made = Ring(0, count=count, size=size, easy=easy)
    made.append(frames)
    return made


def kept(made: Ring) -> list[int]:
    return [each.seq for each in made.after(0)]


def test_frame__payload_with_line_breaks_stays_one_frame() -> None:
    entry = RawLogEntry(
        id="a.1",
        seq=1,
        session_id=None,
        run_id=None,
        attempt=None,
        epoch=None,
        at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        trace_id="",
        event=msgspec.Raw(b'{"kind":"run.log",\r\n\n "text":"a\\nb"}'),
    )
    data = frame(entry, "run.log").data
    assert data.startswith(b"id: a.1\nevent: run.log\ndata: {")
    assert data.endswith(b"}\n\n")
    assert data.count(b"\n") == 4
    body = msgspec.json.decode(data.split(b"data: ")[1])
    assert body["event"]["text"] == "a\nb"


def test_trim__keeps_what_a_reader_still_needs() -> None:
    made = ring(*[one(seq) for seq in range(1, 11)])
    made.trim(4)
    assert (made.floor, kept(made), made.head) == (4, [5, 6, 7, 8, 9, 10], 10)


@pytest.mark.parametrize("bounds", [{"count": 3}, {"size": 30}])
def test_trim__bounds_hold_whoever_is_behind(bounds: dict[str, int]) -> None:
    made = ring(*[one(seq) for seq in range(1, 11)], **bounds)
    made.trim(0)
    assert (made.floor, kept(made)) == (7, [8, 9, 10])


def test_trim__newest_frame_stays_however_large() -> None:
    made = ring(one(1), one(2, size=5000))
    made.trim(0)
    assert (made.floor, kept(made), made.size) == (1, [2], 5000)


def test_trim__small_ring_is_left_alone() -> None:
    made = ring(one(1), one(2), easy=100)
    made.trim(2)
    assert made.floor == 0


def test_after__seqs_may_skip() -> None:
    assert [each.seq for each in ring(one(2), one(5), one(9)).after(5)] == [9]


def test_join__filters_and_moves_on() -> None:
    frames = [one(1, run=RUN), one(2, run=uuid4()), one(3, run=RUN), one(4)]
    chunk = join(frames, RUN, position=0, size=1000)
    assert (len(chunk.data), chunk.position, chunk.closed) == (20, 4, False)


def test_join__ends_with_the_run() -> None:
    frames = [one(1, run=RUN), one(2, run=RUN, closes=True), one(3, run=RUN)]
    chunk = join(frames, RUN, position=0, size=1000)
    assert (len(chunk.data), chunk.position, chunk.closed) == (20, 2, True)


def test_join__another_runs_end_is_only_an_event() -> None:
    assert not join([one(1, run=RUN, closes=True)], None, position=0, size=1000).closed


def test_join__stops_at_its_size() -> None:
    assert join([one(1), one(2), one(3)], None, position=0, size=15).position == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        f"{STREAM.hex}",
        f"{STREAM.hex}.",
        f"{STREAM.hex}.-1",
        f"{STREAM.hex}.1.2",
        f"{STREAM.hex}.01",
        f"{STREAM.hex}.٣",
        f"{STREAM.hex}.{10**30}",
        f"{STREAM}.3",
        f"{UUID(int=8).hex}.3",
        f"{STREAM.hex}.11",
    ],
)
def test_cursor__not_of_this_stream(text: str) -> None:
    with pytest.raises(BerthError) as refused:
        log_cursor.position(text, STREAM, first_seq=1, last_seq=10)
    assert refused.value.code is Code.BAD_CURSOR
    assert refused.value.details["field"] == "cursor"


def test_cursor__older_than_what_is_kept() -> None:
    with pytest.raises(BerthError) as refused:
        log_cursor.position(log_cursor.cursor(STREAM, 3), STREAM, first_seq=5, last_seq=10)
    assert refused.value.code is Code.CURSOR_EXPIRED


@pytest.mark.parametrize("seq", [4, 5, 10])
def test_cursor__good(seq: int) -> None:
    text = log_cursor.cursor(STREAM, seq)
    assert log_cursor.position(text, STREAM, first_seq=5, last_seq=10) == seq
