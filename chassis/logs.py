"""Logs: one JSON object a line on standard error, secrets taken out last.

Bind what the lines of a request or a duty have in common with `bound(run=…, attempt=…)`.
"""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import msgspec
import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, FilteringBoundLogger

from chassis.clock import wall_time
from chassis.redact import Redactor
from chassis.telemetry import current_trace_id

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(
    service: str,
    level: str = "info",
    redactor: Redactor | None = None,
    stream: TextIO | None = None,
) -> None:
    """Takes over the standard library's logging too. `level` is debug, info, warning or error."""
    threshold = _LEVELS[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _Frame(service),
            structlog.processors.format_exc_info,
            _Line(redactor or Redactor()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,  # modules take their logger before it is configured
    )
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    # libraries tell at info what only their developers want to know
    root.setLevel(max(threshold, logging.WARNING))


def get_logger(**initial: Any) -> FilteringBoundLogger:  # noqa: ANN401  # any JSON value
    return cast("FilteringBoundLogger", structlog.get_logger(**initial))


@contextmanager
def bound(**values: Any) -> Generator[None]:  # noqa: ANN401  # any JSON value
    """Every line within has these fields: session, run, attempt, epoch, …"""
    with bound_contextvars(**values):
        yield


class _Frame:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("trace", current_trace_id())
        return {"time": wall_time().isoformat(), "service": self._service, **event}


class _Line:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._encoder = msgspec.json.Encoder(enc_hook=repr)

    def __call__(self, _logger: object, _method: str, event: EventDict) -> str:
        return self._redactor.text(self._encoder.encode(event).decode())


class _Bridge(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        get_logger().log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            exc_info=record.exc_info or None,
        )
