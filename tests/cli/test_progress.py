"""Progress: one line that changes for people, a line now and then for logs, nothing in JSON."""

import io

import msgspec
import pytest
from rich.console import Console

from chassis.ids import new_id
from cli.output import Output
from cli.printer import Printer
from cli.progress import CLEARED, TOLD_EVERY, Meter, StatusLine, amount, clock
from cli.stream import Seen
from contracts.events import AnyEvent, MessageDelta, RawLogEntry, WorkspaceProgress

TOLD = WorkspaceProgress(
    phase="restore",
    files=1200,
    bytes=12_300_000,
    total_files=10_000,
    total_bytes=61_000_000,
    bytes_per_second=4_100_000,
    eta_seconds=11.9,
)
WORDS = "restoring the workspace: 1200/10000 files, 12.3 MB of 61.0 MB, 4.1 MB/s, 0:12 left"


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def output(*, terminal: bool) -> tuple[Output, io.StringIO, io.StringIO]:
    made, out, err = Output(), io.StringIO(), io.StringIO()
    made.out = Console(file=out, force_terminal=terminal, width=120, highlight=False, markup=False)
    made.err = Console(file=err, force_terminal=terminal, width=120, highlight=False, markup=False)
    return made, out, err


def seen(event: AnyEvent) -> Seen:
    place = {
        "id": "1.1",
        "seq": 1,
        "session_id": new_id(),
        "run_id": None,
        "attempt": None,
        "epoch": 1,
        "at": "2026-01-01T00:00:00Z",
        "trace_id": "",
        "event": event,
    }
    line = msgspec.json.encode(place)
    entry = msgspec.json.decode(line, type=RawLogEntry)
    kind = str(event.__struct_config__.tag)
    return Seen(line=line.decode(), entry=entry, kind=kind, event=event)


def test_terminal__one_line_that_changes_and_goes() -> None:
    made, out, err = output(terminal=True)
    printer = Printer(made)
    printer.show(seen(TOLD))
    assert err.getvalue() == CLEARED + WORDS
    printer.show(seen(MessageDelta(message_id="m", text="hello\n")))
    assert err.getvalue().endswith(WORDS + CLEARED)
    assert "hello" in out.getvalue()


def test_terminal__not_into_a_line_that_is_being_written() -> None:
    made, _, err = output(terminal=True)
    printer = Printer(made)
    printer.show(seen(MessageDelta(message_id="m", text="half a ")))
    printer.show(seen(TOLD))
    assert "restoring" not in err.getvalue()


def test_pipe__a_line_now_and_then() -> None:
    made, out, err = output(terminal=False)
    time = Time()
    status = StatusLine(made, now=time)
    for _ in range(100):
        status.show(WORDS)
        time.now += TOLD_EVERY / 50
    assert err.getvalue() == f"{WORDS}\n" * 2
    assert out.getvalue() == ""
    status.clear()
    assert CLEARED not in err.getvalue()


def test_json__untouched() -> None:
    made, out, err = output(terminal=True)
    shown = seen(TOLD)
    Printer(made, json=True).show(shown)
    assert out.getvalue() == f"{shown.line}\n"
    assert err.getvalue() == ""


def test_meter__rate_and_rest() -> None:
    made, _, err = output(terminal=True)
    time = Time()
    status = StatusLine(made, now=time)
    meter = Meter(status, "sending x", total_files=4, total_bytes=4_000_000, now=time)
    time.now += 2
    meter.add(files=1, size=1_000_000)
    meter.show()
    assert err.getvalue() == (
        CLEARED + "sending x: 1/4 files, 1.0 MB of 4.0 MB, 500.0 kB/s, 0:06 left"
    )


def test_meter__names_no_total_that_it_has_passed() -> None:
    """As of a tar, which is more than its contents."""
    made, _, err = output(terminal=True)
    time = Time()
    meter = Meter(StatusLine(made, now=time), "fetching x", total_bytes=1000, now=time)
    time.now += 2
    meter.went(4000)
    assert err.getvalue() == CLEARED + "fetching x: 4.0 kB, 2.0 kB/s"


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e12, "2.5 TB")]
)
def test_amount(size: float, words: str) -> None:
    assert amount(size) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0:00"), (61, "1:01"), (3725, "1:02:05")])
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words
