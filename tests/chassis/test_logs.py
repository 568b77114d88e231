import io
import logging
from collections.abc import Generator

import msgspec
import pytest

from chassis.logs import bound, configure_logging, get_logger
from chassis.redact import Redactor
from chassis.telemetry import span

SECRET = 'p"ss/wörd+1'


@pytest.fixture
def lines() -> Generator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers, root.level
    configure_logging("probe", "info", Redactor([SECRET]), stream)
    yield stream
    configure_logging("tests")
    root.handlers, root.level = before


def test_line__is_json_with_what_is_bound(lines: io.StringIO) -> None:
    with bound(run="r1", attempt=2), span("work"):
        get_logger(part="x").info("claimed", count=3)
    line = msgspec.json.decode(lines.getvalue())
    assert {key: line[key] for key in ("service", "level", "event", "run", "attempt", "count")} == {
        "service": "probe",
        "level": "info",
        "event": "claimed",
        "run": "r1",
        "attempt": 2,
        "count": 3,
    }
    assert len(line["trace"]) == 32


def test_standard_library__goes_the_same_way(lines: io.StringIO) -> None:
    error = RuntimeError(SECRET)
    logging.getLogger("uvicorn.error").error("it %s", "broke", exc_info=error)
    line = msgspec.json.decode(lines.getvalue())
    assert (line["event"], line["logger"], line["level"]) == ("it broke", "uvicorn.error", "error")
    assert "RuntimeError" in line["exception"]
    assert SECRET not in lines.getvalue()


def test_debug__is_left_out(lines: io.StringIO) -> None:
    get_logger().debug("detail")
    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        "cCJzcy93w7ZyZCsx",
        "p%22ss%2Fw%C3%B6rd%2B1",
        'p\\"ss/w\\u00f6rd+1',
        'p\\"ss/wörd+1',
        'p\\\\\\"ss/w\\\\u00f6rd+1',
    ],
    ids=["plain", "base64", "url", "json", "json-utf8", "json-twice"],
)
def test_redaction__knows_the_forms_of_a_value(form: str) -> None:
    assert Redactor([SECRET]).text(f"a {form} b") == "a [redacted] b"


def test_redaction__leaves_short_values_alone() -> None:
    assert Redactor(["abc"]).text("abcdef") == "abcdef"


def test_redaction__of_a_value_within_another() -> None:
    assert Redactor(["secret", "secret-longer"]).text("secret-longer") == "[redacted]"
