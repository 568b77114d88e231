"""Logs: one JSON object a line on standard error, secrets taken out last.

Bind what the lines of a request or a duty have in common with `bound(run=…, attempt=…)`. Only the
standard library and msgspec: every process loads this before it does anything else.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

import msgspec

from chassis.clock import wall_time
from chassis.redact import Redactor
from chassis.telemetry import current_trace_id

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_BOUND: ContextVar[Mapping[str, Any]] = ContextVar("bound")


class _Output:
    """The process's own; `configure_logging` sets it."""

    service = ""
    threshold = _LEVELS["info"]
    redactor = Redactor()
    stream: TextIO | None = None
    """None: standard error, as it is at the time."""
    encoder = msgspec.json.Encoder(enc_hook=repr)
    lock = threading.Lock()


class Logger:
    """Fields are any JSON value; what is not JSON is shown as `repr` gives it.

    `exc_info` is an exception, or true for the one that is being handled.
    """

    def __init__(self, initial: Mapping[str, Any]) -> None:
        self._initial = initial

    def debug(self, event: str, /, **fields: Any) -> None:  # noqa: ANN401  # any JSON value
        self.log(_LEVELS["debug"], event, **fields)

    def info(self, event: str, /, **fields: Any) -> None:  # noqa: ANN401  # any JSON value
        self.log(_LEVELS["info"], event, **fields)

    def warning(self, event: str, /, **fields: Any) -> None:  # noqa: ANN401  # any JSON value
        self.log(_LEVELS["warning"], event, **fields)

    def error(self, event: str, /, **fields: Any) -> None:  # noqa: ANN401  # any JSON value
        self.log(_LEVELS["error"], event, **fields)

    def exception(self, event: str, /, **fields: Any) -> None:  # noqa: ANN401  # any JSON value
        self.log(_LEVELS["error"], event, **{"exc_info": True, **fields})

    def log(self, level: int, event: str, /, **fields: Any) -> None:  # noqa: ANN401  # any JSON value
        """`level` as in `logging`."""
        if level >= _Output.threshold:
            _write(level, event, {**self._initial, **_BOUND.get({}), **fields})


def configure_logging(
    service: str,
    level: str = "info",
    redactor: Redactor | None = None,
    stream: TextIO | None = None,
) -> None:
    """Takes over the standard library's logging too. `level` is debug, info, warning or error."""
    threshold = _LEVELS[level]
    _Output.service = service
    _Output.threshold = threshold
    _Output.redactor = redactor or Redactor()
    _Output.stream = stream
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    # libraries tell at info what only their developers want to know
    root.setLevel(max(threshold, logging.WARNING))


def get_logger(**initial: Any) -> Logger:  # noqa: ANN401  # any JSON value
    return Logger(initial)


@contextmanager
def bound(**values: Any) -> Generator[None]:  # noqa: ANN401  # any JSON value
    """Every line within has these fields: session, run, attempt, epoch, …"""
    token = _BOUND.set({**_BOUND.get({}), **values})
    try:
        yield
    finally:
        _BOUND.reset(token)


def _write(level: int, event: str, fields: dict[str, Any]) -> None:
    failure = _failure(fields.pop("exc_info", None))
    line = {
        "time": wall_time().isoformat(),
        "service": _Output.service,
        "level": logging.getLevelName(level).lower(),
        "event": event,
        **fields,
    }
    line.setdefault("trace", current_trace_id())
    if failure is not None:
        line["exception"] = "".join(traceback.format_exception(failure)).rstrip()
    text = _Output.redactor.text(_Output.encoder.encode(line).decode())
    stream = _Output.stream or sys.stderr
    with _Output.lock:
        stream.write(f"{text}\n")
        stream.flush()


def _failure(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


class _Bridge(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        get_logger().log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            exc_info=record.exc_info[1] if record.exc_info else None,
        )
