from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from chassis.telemetry import (
    configure_tracing,
    current_trace_id,
    span,
    traceparent,
    use_traceparent,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans(tmp_path: Path) -> Generator[Path]:
    configure_tracing("probe", f"file:{tmp_path / 'spans'}")
    yield tmp_path / "spans"
    configure_tracing("tests")


def test_no_exporter__still_makes_valid_ids() -> None:
    assert (current_trace_id(), traceparent()) == ("", None)
    with span("outer"):
        trace = current_trace_id()
        with span("inner"):
            assert current_trace_id() == trace
            assert (traceparent() or "").startswith(f"00-{trace}-")
    assert current_trace_id() == ""


def test_file__has_the_spans_and_their_parents(spans: Path) -> None:
    with use_traceparent(f"00-{TRACE}-b7ad6b7169203331-01"), span("outer", run="r1"), span("inner"):
        pass
    inner, outer = (msgspec.json.decode(line) for line in spans.read_bytes().splitlines())
    assert (inner["name"], inner["service"], inner["trace_id"]) == ("inner", "probe", TRACE)
    assert inner["parent"] == outer["span_id"]
    assert (outer["parent"], outer["attributes"]) == ("b7ad6b7169203331", {"run": "r1"})


def test_exporter__that_is_unknown_is_named() -> None:
    with pytest.raises(ValueError, match="'jaeger' is not none, console, otlp or file"):
        configure_tracing("probe", "jaeger")
